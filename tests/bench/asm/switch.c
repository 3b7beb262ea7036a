// SPDX-License-Identifier: MIT
/*
 * switch.c - asm switch 1 N: the floor under a context switch on x86-64, written by hand.
 *
 * Two stacks, no scheduler, and all that the ABI says a call keeps: six registers, the stack, the
 * control words of SSE and x87. Same output as ../lib.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

void jump(void **save, void *load);
__asm__(".text\n"
	".p2align 4\n"
	".type jump, @function\n"
	"jump:\n"
	"	push %rbp\n"
	"	push %rbx\n"
	"	push %r12\n"
	"	push %r13\n"
	"	push %r14\n"
	"	push %r15\n"
	"	sub $8, %rsp\n"
	"	stmxcsr (%rsp)\n"
	"	fnstcw 4(%rsp)\n"
	"	mov %rsp, (%rdi)\n"
	"	mov %rsi, %rsp\n"
	"	fldcw 4(%rsp)\n"
	"	ldmxcsr (%rsp)\n"
	"	add $8, %rsp\n"
	"	pop %r15\n"
	"	pop %r14\n"
	"	pop %r13\n"
	"	pop %r12\n"
	"	pop %rbx\n"
	"	pop %rbp\n"
	/* as a return it would be predicted to go back to its caller: always wrong */
	"	pop %rcx\n"
	"	jmp *%rcx\n"
	".size jump, . - jump\n");

static void *here, *there;

static void other(void)
{
	for (;;)
		jump(&there, here);
}

static void switches(long n)
{
	for (long i = 0; i < n; i += 2)
		jump(&here, there);
}

static int64_t now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

int main(int argc, char **argv)
{
	long n = argc == 4 ? atol(argv[3]) : 0;
	uint64_t *sp = (uint64_t *)((char *)malloc(65536) + 65536 - 64);
	int64_t t;

	if (n < 1) {
		fprintf(stderr, "usage: asm switch 1 N\n");
		return 1;
	}
	if (strcmp(argv[1], "switch")) {
		printf("skip: it has no scheduler\n");
		return 4;
	}
	*--sp = 0; /* other()'s return address: the stack is aligned as at a call */
	*--sp = (uint64_t)(uintptr_t)other;
	sp -= 6;
	memset(sp, 0, 48);
	*--sp = 0x037f00001f80;
	there = sp;
	switches(n / 10);
	t = now();
	switches(n);
	printf("switch ns %.3f\n", (double)(now() - t) / n);
	return 0;
}
