// SPDX-License-Identifier: MIT
/* select.c - wait for two channels, a pipe, a task and the clock, whichever comes first. */
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#include "gr.h"

static struct gr_chan *words, *numbers;
static int pipefd[2];

static int talk(void *arg)
{
	(void)arg;
	for (int i = 1; i <= 3; i++) {
		const char *word = i < 3 ? "word" : "last word";
		gr_chan_send(words, &word, GR_FOREVER);
		gr_chan_send(numbers, &i, GR_FOREVER);
	}
	gr_write_all(pipefd[1], "hey", 3, GR_FOREVER);
	gr_sleep(gr_after(10 * GR_MS));
	return 42;
}

/* one round of the loop; 0 when the task has ended */
static int listen(struct gr_case *cases, int64_t *when)
{
	char buf[8];
	ssize_t n;

	switch (gr_select(cases, 5, GR_FOREVER)) {
	case 0:
		printf("word: %s\n", *(const char **)cases[0].value);
		return 1;
	case 1:
		printf("number: %d\n", *(int *)cases[1].value);
		return 1;
	case 2:
		n = gr_read(pipefd[0], buf, sizeof(buf), GR_FOREVER);
		printf("pipe: %.*s\n", n > 0 ? (int)n : 0, buf);
		return 1;
	case 3:
		printf("still here\n");
		*when = gr_after(GR_SEC);
		return 1;
	default:
		printf("task: %d\n", cases[4].result);
		return 0;
	}
}

static int start(void *arg)
{
	int64_t when = gr_after(2 * GR_MS);
	struct gr_task *task;
	const char *word;
	int number;

	(void)arg;
	if (pipe(pipefd) || gr_chan_new(&words, sizeof(word), 0) ||
	    gr_chan_new(&numbers, sizeof(number), 0) || gr_task_new(&task, talk, NULL, NULL))
		return 1;
	for (;;) {
		struct gr_case cases[] = { GR_RECV(words, &word), GR_RECV(numbers, &number),
					   GR_FD(pipefd[0], POLLIN), GR_AT(when),
					   GR_JOIN(task) };

		if (!listen(cases, &when))
			break;
	}
	gr_task_release(task);
	gr_chan_release(words);
	gr_chan_release(numbers);
	return number != 3;
}

int main(void)
{
	return gr_run(start, NULL, NULL) ? 1 : 0;
}
