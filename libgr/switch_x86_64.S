/* SPDX-License-Identifier: MIT */
/*
 * switch_x86_64.S - gr_switch() for x86-64 (System V ABI). Frame, from the saved stack pointer
 * up: mxcsr + x87 control word, r15, r14, r13, r12, rbx, rbp, return address.
 */
	.text
	.globl	gr_switch
	.hidden	gr_switch
	.type	gr_switch, @function
	.p2align 4
gr_switch:
	.cfi_startproc
	pushq	%rbp
	.cfi_adjust_cfa_offset 8
	pushq	%rbx
	.cfi_adjust_cfa_offset 8
	pushq	%r12
	.cfi_adjust_cfa_offset 8
	pushq	%r13
	.cfi_adjust_cfa_offset 8
	pushq	%r14
	.cfi_adjust_cfa_offset 8
	pushq	%r15
	.cfi_adjust_cfa_offset 8
	subq	$8, %rsp
	.cfi_adjust_cfa_offset 8
	stmxcsr	(%rsp)
	fnstcw	4(%rsp)
	movq	%rsp, (%rdi)
	movq	%rsi, %rsp
.Lload:
	ldmxcsr	(%rsp)
	fldcw	4(%rsp)
	addq	$8, %rsp
	.cfi_adjust_cfa_offset -8
	popq	%r15
	.cfi_adjust_cfa_offset -8
	popq	%r14
	.cfi_adjust_cfa_offset -8
	popq	%r13
	.cfi_adjust_cfa_offset -8
	popq	%r12
	.cfi_adjust_cfa_offset -8
	popq	%rbx
	.cfi_adjust_cfa_offset -8
	popq	%rbp
	.cfi_adjust_cfa_offset -8
	movq	%rdx, %rax
	/* not ret: its prediction is always wrong here, it would expect our caller */
	popq	%rcx
	.cfi_adjust_cfa_offset -8
	.cfi_register rip, rcx
	jmpq	*%rcx
	.cfi_endproc
	.size	gr_switch, .-gr_switch

	.globl	gr_switch_last
	.hidden	gr_switch_last
	.type	gr_switch_last, @function
	.p2align 4
gr_switch_last:
	.cfi_startproc
	movq	%rsi, %rdx
	movq	%rdi, %rsp
	.cfi_def_cfa_offset 64	/* as at .Lload */
	jmp	.Lload
	.cfi_endproc
	.size	gr_switch_last, .-gr_switch_last

	.globl	gr_switch_start
	.hidden	gr_switch_start
	.type	gr_switch_start, @function
	.p2align 4
gr_switch_start:
	.cfi_startproc
	.cfi_undefined rip	/* backtraces end here */
	movq	%r13, %rdi
	movq	%rax, %rsi
	callq	*%r12
	ud2
	.cfi_endproc
	.size	gr_switch_start, .-gr_switch_start

/*
 * gr_call_parked(sp, fn, arg): calls fn(arg) so that a backtrace from there goes on with the
 * goroutine that gr_switch() saved at sp: the CFI says that our caller's registers are those.
 */
	.globl	gr_call_parked
	.hidden	gr_call_parked
	.type	gr_call_parked, @function
	.p2align 4
gr_call_parked:
	.cfi_startproc
	pushq	%rbx
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset rbx, 0
	movq	%rdi, %rbx
	movq	%rdx, %rdi
	.cfi_remember_state
	.cfi_def_cfa rbx, 64
	.cfi_offset rip, -8
	.cfi_offset rbp, -16
	.cfi_offset rbx, -24
	.cfi_offset r12, -32
	.cfi_offset r13, -40
	.cfi_offset r14, -48
	.cfi_offset r15, -56
	callq	*%rsi
	.cfi_restore_state
	popq	%rbx
	.cfi_adjust_cfa_offset -8
	.cfi_restore rbx
	ret
	.cfi_endproc
	.globl	gr_call_parked_end
	.hidden	gr_call_parked_end
gr_call_parked_end:
	.size	gr_call_parked, .-gr_call_parked

	.section .note.GNU-stack,"",@progbits
