/* The progress line, from the heartbeat's sums: redrawn once a second on a terminal, a line now and then
 * elsewhere. */
#include "run/stage.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/terminal.h"
#include "base/units.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool line_stands; /* a redrawn line is on the terminal */

static void step_aside(void)
{
    if (line_stands)
        fputs("\r\033[K", stderr);
    line_stands = false;
}

static void remember(struct mh_progress *progress, const struct mh_stage *stage)
{
    const struct mh_stage_sums *sums = (const struct mh_stage_sums *)stage->pulse.totals;
    progress->before = *sums;
    memcpy(progress->roles_before, sums + 1, stage->options->role_count * sizeof(struct mh_role_sums));
}

void mh_progress_begin(struct mh_progress *progress, const struct mh_stage *stage)
{
    *progress = (struct mh_progress){.terminal = mh_is_terminal(STDERR_FILENO)};
    progress->last_ns = stage->begin_ns;
    progress->next_ns = stage->begin_ns + stage->run->progress_ns;
    progress->roles_before = calloc(2 * stage->options->role_count, sizeof *progress->roles_before);
    if (progress->roles_before)
        remember(progress, stage); /* a stage that is gone through again has sums already */
    if (progress->terminal)
        mh_log_on_line(step_aside);
}

static int64_t quantile(const struct mh_stage_sums *now, const struct mh_stage_sums *before, double q)
{
    struct mh_timeline_slot slot = {0};
    for (int i = 0; i < MH_TIMELINE_BUCKETS; i++)
        slot.latency[i] = (uint32_t)(now->latency[i] - before->latency[i]);
    slot.max_ns = MH_HISTOGRAM_MAX_NS;
    return mh_timeline_quantile(&slot, q);
}

/* By the role furthest from its end; -1 when no role says how much it has to do. */
static double share_done(const struct mh_stage *stage, const struct mh_role_sums *sums, double elapsed_s)
{
    double least = -1;
    for (size_t r = 0; r < stage->options->role_count; r++) {
        const struct mh_role_options *options = &stage->options->roles[r];
        double done = -1;
        if (mh_role_ops_of(options)->writes_rows && options->rows > 0)
            done = (double)sums[r].rows /
                   ((double)options->rows * (double)(options->count < 0 ? stage->run->np : options->count));
        else if (options->for_ns > 0)
            done = elapsed_s / ((double)options->for_ns / (double)MH_S);
        else if (options->steps.count > 0)
            done = elapsed_s /
                   ((double)mh_pace_length(options->steps.items, options->steps.count) / (double)MH_S);
        if (done >= 0 && (least < 0 || done < least))
            least = done;
    }
    return least;
}

static size_t add(char *line, size_t size, size_t used, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

static size_t add(char *line, size_t size, size_t used, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n = used < size ? vsnprintf(line + used, size - used, format, args) : 0;
    va_end(args);
    return used + (n > 0 ? (size_t)n : 0);
}

static size_t add_roles(char *line, size_t size, size_t used, const struct mh_stage *stage,
                        const struct mh_role_sums *sums, const int64_t *before, double seconds)
{
    for (size_t r = 0; r < stage->options->role_count; r++) {
        const struct mh_role_ops *ops = mh_role_ops_of(&stage->options->roles[r]);
        double operations = (double)(sums[r].operations - before[2 * r]) / seconds;
        double rows = (double)(sums[r].rows - before[2 * r + 1]) / seconds;
        used = add(line, size, used, " | %s %.0f/s", ops->kind.name, operations);
        if (rows > 0)
            used = add(line, size, used, " %.0f rows/s", rows);
    }
    return used;
}

static void put(struct mh_progress *progress, const char *line)
{
    if (progress->terminal) {
        fprintf(stderr, "\r%.*s\033[K", mh_terminal_width(STDERR_FILENO) - 1, line);
        line_stands = true;
    } else {
        fprintf(stderr, "%s\n", line);
    }
    fflush(stderr);
}

static void draw(struct mh_progress *progress, const struct mh_stage *stage, int64_t now)
{
    const struct mh_stage_sums *sums = (const struct mh_stage_sums *)stage->pulse.totals;
    const struct mh_role_sums *roles = (const struct mh_role_sums *)(sums + 1);
    double seconds = (double)(now - progress->last_ns) / (double)MH_S,
           elapsed = (double)(now - stage->begin_ns) / (double)MH_S;
    char line[1024], p99[32];
    size_t used = add(line, sizeof line, 0, "%s %.0f s", stage->options->name, elapsed);
    double done = share_done(stage, roles, elapsed);
    if (done >= 1)
        used = add(line, sizeof line, used, ", finishing");
    else if (done > 0.01)
        used = add(line, sizeof line, used, ", about %.0f s left", elapsed * (1 - done) / done);
    used = add_roles(line, sizeof line, used, stage, roles, progress->roles_before, seconds);
    used = add(line, sizeof line, used, " | p99 %s | failed %lld unknown %lld throttled %lld",
               mh_show_duration(quantile(sums, &progress->before, 0.99), p99, sizeof p99),
               (long long)sums->failed, (long long)sums->unknown, (long long)sums->throttled);
    if (sums->violations > 0)
        add(line, sizeof line, used, " sightings of wrong rows %lld", (long long)sums->violations);
    put(progress, line);
    remember(progress, stage);
}

void mh_progress_show(struct mh_progress *progress, const struct mh_stage *stage)
{
    int64_t now = mh_now_ns();
    if (stage->run->rank != 0 || stage->run->progress_ns == 0 || now < progress->next_ns ||
        !progress->roles_before)
        return;
    draw(progress, stage, now);
    progress->last_ns = now;
    progress->next_ns = now + stage->run->progress_ns;
}

void mh_progress_end(struct mh_progress *progress)
{
    step_aside();
    mh_log_on_line(NULL);
    free(progress->roles_before);
}
