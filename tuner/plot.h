/* plot.h - small figures as inline SVG: axes with ticks, dots, crosses, lines.
 *
 * Why our own: a report is one file that opens anywhere, without a script and
 * without the network, and is styled by the page around it (classes, no colours
 * here), so that it reads in the dark, in the light and on paper. */
#ifndef SK_PLOT_H
#define SK_PLOT_H

#include "base.h"

typedef struct sk_axis {
    double lo, hi;     /* lo < hi; lo > 0 when log */
    bool log;
    const char *label; /* NULL: no ticks either */
} sk_axis;

/* lo and hi around n values, those that are not finite (or not positive, when log)
 * left out; some room on both sides. False: none is left. */
bool sk_axis_fit(sk_axis *axis, const double *value, size_t n);
/* Ticks at round numbers (1, 2, 5 times a power of ten); their count, at most `most`. */
uint32_t sk_axis_ticks(const sk_axis *axis, double *tick, uint32_t most);

typedef struct sk_plot {
    sk_text *out;
    double width, height, left, bottom; /* pixels; room for labels at two sides */
    sk_axis x, y;
} sk_plot;

/* Opens the figure; title is what a screen reader says. Text is escaped everywhere. */
void sk_plot_begin(sk_plot *plot, const char *title);
void sk_plot_end(sk_plot *plot);
/* A dot; values outside the axes are moved to their edge. tip may be NULL. */
void sk_plot_dot(sk_plot *plot, double x, double y, const char *style, const char *tip);
void sk_plot_cross(sk_plot *plot, double x, double y, const char *style, const char *tip);
void sk_plot_line(sk_plot *plot, double x0, double y0, double x1, double y1, const char *style);
void sk_plot_text(sk_plot *plot, double x, double y, const char *style, const char *text);

/* Appends text with &, <, >, quotes and control characters made harmless. */
void sk_html_escape(sk_text *out, const char *text);

#endif
