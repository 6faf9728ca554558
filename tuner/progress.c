/* progress.c - see progress.h. */
#include "progress.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define BAR 20u

double sk_progress_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

void sk_progress_start(sk_progress *p, uint32_t jobs, double budget, bool quiet)
{
    const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");
    memset(p, 0, sizeof *p);
    p->quiet = quiet;
    p->terminal = !quiet && isatty(STDERR_FILENO) && term && strcmp(term, "dumb") != 0;
    p->colour = p->terminal && !(no_color && *no_color);
    p->started = sk_progress_now();
    p->budget = budget;
    p->jobs = jobs;
}

void sk_progress_job(sk_progress *p, const char *what, uint32_t most)
{
    p->job++;
    p->done = p->failed = 0;
    p->most = most;
    p->best_us = p->best_ratio = 0;
    p->phase = "start";
    snprintf(p->what, sizeof p->what, "%s", what);
}

void sk_progress_clear(sk_progress *p)
{
    if (p->drawn) fputs("\r\033[K", stderr);
    p->drawn = false;
}

void sk_progress_line(sk_progress *p, const char *fmt, ...)
{
    va_list args;
    if (p->quiet) return;
    sk_progress_clear(p);
    va_start(args, fmt);
    vfprintf(stderr, fmt, args);
    va_end(args);
    fputc('\n', stderr);
    fflush(stderr);
}

/* Share of the job that is done: by trials, or by the command's time. */
static double share(const sk_progress *p, double elapsed)
{
    double by_trials = p->most ? (double)p->done / p->most : 0;
    double by_time = p->budget > 0 ? elapsed / p->budget : 0;
    double x = by_trials > by_time ? by_trials : by_time;
    return x > 1 ? 1 : x;
}

static void time_left(const sk_progress *p, double elapsed, char *text, size_t size)
{
    double left = p->budget > 0 ? p->budget - elapsed : -1;
    if (left < 0 && p->most && p->done) left = elapsed / p->done * (p->most - p->done);
    if (left < 0)
        snprintf(text, size, "%s", "");
    else
        snprintf(text, size, "  %d:%02d left", (int)left / 60, (int)left % 60);
}

void sk_progress_draw(sk_progress *p)
{
    char bar[BAR + 1], line[400], left[32];
    struct winsize w;
    if (!p->terminal) return;
    double elapsed = sk_progress_now() - p->started;
    uint32_t full = (uint32_t)(share(p, elapsed) * BAR);
    for (uint32_t i = 0; i < BAR; i++) bar[i] = i < full ? '#' : '-';
    bar[BAR] = '\0';
    time_left(p, elapsed, left, sizeof left);
    int n = snprintf(line, sizeof line, "[%s] %u/%u %s  %u tried, %u failed, %.1f/s", bar, p->job,
                     p->jobs, p->what, p->done, p->failed,
                     elapsed > 0 ? p->all_done / elapsed : 0);
    if (p->best_us > 0 && n > 0 && (size_t)n < sizeof line)
        n += snprintf(line + n, sizeof line - (size_t)n, "  best %.1f us (%.2fx)", p->best_us,
                      p->best_ratio);
    if (n > 0 && (size_t)n < sizeof line)
        snprintf(line + n, sizeof line - (size_t)n, "  %s%s", p->phase ? p->phase : "", left);
    size_t columns = ioctl(STDERR_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col ? w.ws_col : 80;
    if (strlen(line) >= columns && columns > 1) line[columns - 1] = '\0';
    fprintf(stderr, p->colour ? "\r\033[36m%s\033[0m\033[K" : "\r%s\033[K", line);
    fflush(stderr);
    p->drawn = true;
}
