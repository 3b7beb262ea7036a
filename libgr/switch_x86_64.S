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
	/* not ret: its prediction is always wrong here, it would expect our caller */
	popq	%rcx
	.cfi_adjust_cfa_offset -8
	.cfi_register rip, rcx
	jmpq	*%rcx
	.cfi_endproc
	.size	gr_switch, .-gr_switch

	.globl	gr_switch_start
	.hidden	gr_switch_start
	.type	gr_switch_start, @function
	.p2align 4
gr_switch_start:
	.cfi_startproc
	.cfi_undefined rip	/* backtraces end here */
	movq	%r13, %rdi
	callq	*%r12
	ud2
	.cfi_endproc
	.size	gr_switch_start, .-gr_switch_start

	.section .note.GNU-stack,"",@progbits
