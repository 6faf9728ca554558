/* plot.c - see plot.h. Coordinates are printed with one digit: a tenth of a pixel
 * is finer than a dot. */
#include "plot.h"

#include <math.h>
#include <stdio.h>

#define TOP 10.0
#define RIGHT 14.0
#define MARGIN 0.04 /* of an axis, on both sides of what it must hold */
#define MOST_TICKS 16

void sk_html_escape(sk_text *out, const char *text)
{
    for (const char *p = text; *p; p++) {
        const unsigned char c = (unsigned char)*p;
        if (c == '&')
            sk_text_printf(out, "&amp;");
        else if (c == '<')
            sk_text_printf(out, "&lt;");
        else if (c == '>')
            sk_text_printf(out, "&gt;");
        else if (c == '"')
            sk_text_printf(out, "&quot;");
        else if (c == '\'')
            sk_text_printf(out, "&#39;");
        else
            sk_text_append(out, c < 0x20 || c == 0x7f ? " " : p, 1);
    }
}

/* ---- axes -------------------------------------------------------------------------- */

static double scaled(const sk_axis *axis, double value)
{
    return axis->log ? log10(value) : value;
}

bool sk_axis_fit(sk_axis *axis, const double *value, size_t n)
{
    bool any = false;
    double lo = 0, hi = 0;
    for (size_t i = 0; i < n; i++) {
        if (!isfinite(value[i]) || (axis->log && value[i] <= 0)) continue;
        const double v = scaled(axis, value[i]);
        lo = any && lo < v ? lo : v;
        hi = any && hi > v ? hi : v;
        any = true;
    }
    if (!any) return false;
    double room = (hi - lo) * MARGIN;
    if (room <= 0) room = axis->log ? 0.1 : fmax(fabs(hi) * 0.1, 0.5);
    axis->lo = axis->log ? pow(10, lo - room) : lo - room;
    axis->hi = axis->log ? pow(10, hi + room) : hi + room;
    return true;
}

static uint32_t add_tick(double *tick, uint32_t n, uint32_t most, const sk_axis *axis, double value)
{
    if (n >= most || value < axis->lo || value > axis->hi) return n;
    tick[n] = value;
    return n + 1;
}

/* 1, 2 and 5 in each decade; the powers of ten alone where these are many. */
static uint32_t log_ticks(const sk_axis *axis, double *tick, uint32_t most)
{
    static const double step[] = {1, 2, 5};
    const int first = (int)floor(log10(axis->lo)), last = (int)ceil(log10(axis->hi));
    uint32_t n = 0;
    for (int e = first; e <= last; e++)
        for (uint32_t i = 0; i < (last - first > 3 ? 1 : SK_COUNT(step)); i++)
            n = add_tick(tick, n, most, axis, step[i] * pow(10, e));
    return n;
}

static uint32_t even_ticks(const sk_axis *axis, double *tick, uint32_t most)
{
    const double rough = (axis->hi - axis->lo) / 6, power = pow(10, floor(log10(rough)));
    const double digit = rough / power;
    const double step = power * (digit < 1.5 ? 1 : digit < 3.5 ? 2 : digit < 7.5 ? 5 : 10);
    const double first = ceil(axis->lo / step);
    uint32_t n = 0;
    for (int i = 0; i < MOST_TICKS; i++) n = add_tick(tick, n, most, axis, (first + i) * step);
    return n;
}

uint32_t sk_axis_ticks(const sk_axis *axis, double *tick, uint32_t most)
{
    uint32_t n = axis->log ? log_ticks(axis, tick, most) : 0;
    return n >= 2 ? n : even_ticks(axis, tick, most); /* a log axis shorter than a decade */
}

/* Share of the axis, 0 to 1. */
static double place(const sk_axis *axis, double value)
{
    const double lo = scaled(axis, axis->lo), hi = scaled(axis, axis->hi);
    if (!(value > axis->lo)) return 0;
    if (value >= axis->hi) return 1;
    return (scaled(axis, value) - lo) / (hi - lo);
}

static double at_x(const sk_plot *p, double x)
{
    return p->left + place(&p->x, x) * (p->width - p->left - RIGHT);
}

static double at_y(const sk_plot *p, double y)
{
    return p->height - p->bottom - place(&p->y, y) * (p->height - p->bottom - TOP);
}

/* ---- marks --------------------------------------------------------------------------- */

static void words(sk_plot *p, double x, double y, const char *style, const char *anchor,
                  const char *text)
{
    sk_text_printf(p->out, "<text class='%s' x='%.1f' y='%.1f' text-anchor='%s'>", style, x, y,
                   anchor);
    sk_html_escape(p->out, text);
    sk_text_printf(p->out, "</text>");
}

static void segment(sk_plot *p, double x0, double y0, double x1, double y1, const char *style)
{
    sk_text_printf(p->out, "<line class='%s' x1='%.1f' y1='%.1f' x2='%.1f' y2='%.1f'/>", style, x0,
                   y0, x1, y1);
}

static void draw_x(sk_plot *p)
{
    double tick[MOST_TICKS];
    char text[32];
    const double foot = p->height - p->bottom;
    const uint32_t n = sk_axis_ticks(&p->x, tick, MOST_TICKS);
    for (uint32_t i = 0; i < n; i++) {
        const double x = at_x(p, tick[i]);
        segment(p, x, TOP, x, foot, "grid");
        snprintf(text, sizeof text, "%.6g", tick[i]);
        words(p, x, foot + 14, "tick", "middle", text);
    }
    words(p, (p->left + p->width - RIGHT) / 2, p->height - 4, "label", "middle", p->x.label);
}

static void draw_y(sk_plot *p)
{
    double tick[MOST_TICKS];
    char text[32];
    const double middle = (TOP + p->height - p->bottom) / 2;
    const uint32_t n = sk_axis_ticks(&p->y, tick, MOST_TICKS);
    for (uint32_t i = 0; i < n; i++) {
        const double y = at_y(p, tick[i]);
        segment(p, p->left, y, p->width - RIGHT, y, "grid");
        snprintf(text, sizeof text, "%.6g", tick[i]);
        words(p, p->left - 5, y + 4, "tick", "end", text);
    }
    sk_text_printf(p->out, "<text class='label' x='12' y='%.1f' text-anchor='middle' "
                   "transform='rotate(-90 12 %.1f)'>", middle, middle);
    sk_html_escape(p->out, p->y.label);
    sk_text_printf(p->out, "</text>");
}

void sk_plot_begin(sk_plot *p, const char *title)
{
    sk_text_printf(p->out, "<svg role='img' viewBox='0 0 %.0f %.0f' width='%.0f' height='%.0f'>"
                   "<title>", p->width, p->height, p->width, p->height);
    sk_html_escape(p->out, title);
    sk_text_printf(p->out, "</title>");
    if (p->x.label) draw_x(p);
    if (p->y.label) draw_y(p);
}

void sk_plot_end(sk_plot *p) { sk_text_printf(p->out, "</svg>\n"); }

static void tip_and_end(sk_plot *p, const char *element, const char *tip)
{
    if (!tip) {
        sk_text_printf(p->out, "/>");
        return;
    }
    sk_text_printf(p->out, "><title>");
    sk_html_escape(p->out, tip);
    sk_text_printf(p->out, "</title></%s>", element);
}

void sk_plot_dot(sk_plot *p, double x, double y, const char *style, const char *tip)
{
    sk_text_printf(p->out, "<circle class='%s' cx='%.1f' cy='%.1f' r='3'", style, at_x(p, x),
                   at_y(p, y));
    tip_and_end(p, "circle", tip);
}

void sk_plot_cross(sk_plot *p, double x, double y, const char *style, const char *tip)
{
    sk_text_printf(p->out, "<path class='%s' d='M%.1f %.1fm-3-3l6 6m0-6l-6 6'", style, at_x(p, x),
                   at_y(p, y));
    tip_and_end(p, "path", tip);
}

void sk_plot_line(sk_plot *p, double x0, double y0, double x1, double y1, const char *style)
{
    segment(p, at_x(p, x0), at_y(p, y0), at_x(p, x1), at_y(p, y1), style);
}

void sk_plot_text(sk_plot *p, double x, double y, const char *style, const char *text)
{
    words(p, at_x(p, x), at_y(p, y), style, "start", text);
}
