package main

import (
	"fmt"
	"html"
	"math"
	"strconv"
	"strings"
)

// plot is a diagram of curves, as SVG. It has its own background, light or dark as the reader's system wants, so that it can be
// read on any page.
type plot struct {
	title, xLabel, yLabel string
	curves                []curve
}

// curve is points of one thing, by rising x.
type curve struct {
	name   string // empty: the only one, which needs none
	xs, ys []float64
}

// Sizes of a plot in pixels: the whole, and what the axes leave at the sides.
const (
	plotWidth, plotHeight                    = 560.0, 300.0
	plotLeft, plotRight, plotTop, plotBottom = 30.0, 90.0, 48.0, 48.0
)

// plotStyle colours a plot. The curves differ in their dashes and marks, too.
const plotStyle = `<style>
.paper{fill:#fff}.ink{fill:#1f2328}.axis{stroke:#656d76;fill:none}
.c0{fill:#0550ae}.l0{stroke:#0550ae;fill:none;stroke-width:2}.c1{fill:#953800}.l1{stroke:#953800;fill:none;stroke-width:2;stroke-dasharray:6 4}
@media (prefers-color-scheme:dark){.paper{fill:#0d1117}.ink{fill:#e6edf3}.axis{stroke:#9198a1}
.c0{fill:#79c0ff}.l0{stroke:#79c0ff}.c1{fill:#ffa657}.l1{stroke:#ffa657}}
</style>
`

// scale places x from 0 to 1: on a logarithmic scale where the curves span more than two decades.
func (p plot) scale() func(x float64) float64 {
	low, high := math.Inf(1), math.Inf(-1)
	for _, c := range p.curves {
		low, high = min(low, c.xs[0]), max(high, c.xs[len(c.xs)-1])
	}
	f := func(x float64) float64 { return x }
	if low > 0 && high/low > 100 {
		f = math.Log10
	}
	return func(x float64) float64 { return (f(x) - f(low)) / max(f(high)-f(low), 1e-9) }
}

// svg draws the plot. Its description holds every number, for those who can't see it.
func (p plot) svg() string {
	scale, top := p.scale(), 0.0
	for _, c := range p.curves {
		for _, y := range c.ys {
			top = max(top, y*1.1)
		}
	}
	px := func(x float64) float64 { return plotLeft + scale(x)*(plotWidth-plotLeft-plotRight) }
	py := func(y float64) float64 {
		return plotHeight - plotBottom - y/max(top, 1e-9)*(plotHeight-plotTop-plotBottom)
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %g %g" role="img" aria-labelledby="title desc" font-family="sans-serif" font-size="12">`+"\n", plotWidth, plotHeight)
	fmt.Fprintf(&b, "<title id=\"title\">%s</title>\n<desc id=\"desc\">%s</desc>\n", html.EscapeString(p.title), html.EscapeString(p.description()))
	b.WriteString(plotStyle)
	fmt.Fprintf(&b, `<rect class="paper" width="100%%" height="100%%"/><text class="ink" x="12" y="22" font-size="14">%s</text>`+"\n", html.EscapeString(p.title))
	fmt.Fprintf(&b, `<path class="axis" d="M%g %gV%gH%g"/><text class="ink" x="12" y="40">%s</text><text class="ink" x="%g" y="%g" text-anchor="end">%s</text>`+"\n",
		plotLeft, plotTop, plotHeight-plotBottom, plotWidth-plotRight+20, html.EscapeString(p.yLabel), plotWidth-plotRight, plotHeight-10, html.EscapeString(p.xLabel))
	named := map[float64]bool{}
	for i, c := range p.curves {
		for _, x := range c.xs {
			if !named[x] {
				fmt.Fprintf(&b, `<text class="ink" x="%.1f" y="%g" text-anchor="middle">%s</text>`+"\n", px(x), plotHeight-plotBottom+17, strconv.FormatFloat(x, 'f', -1, 64))
			}
			named[x] = true
		}
		c.draw(&b, i, px, py)
	}
	b.WriteString("</svg>\n")
	return b.String()
}

// draw draws the curve of that number. The numbers of the first stand above its points, those of others below.
func (c curve) draw(b *strings.Builder, number int, px, py func(float64) float64) {
	var line []string
	for i, x := range c.xs {
		at, up := px(x), py(c.ys[i])
		line = append(line, fmt.Sprintf("%.1f,%.1f", at, up))
		label, mark := up-9, fmt.Sprintf(`<circle cx="%.1f" cy="%.1f" r="4"/>`, at, up)
		if number > 0 {
			label, mark = up+19, fmt.Sprintf(`<rect x="%.1f" y="%.1f" width="8" height="8"/>`, at-4, up-4)
		}
		fmt.Fprintf(b, `<g class="c%d">%s<text x="%.1f" y="%.1f" text-anchor="middle">%s</text></g>`+"\n", number, mark, at, label, human(c.ys[i]))
	}
	fmt.Fprintf(b, `<polyline class="l%d" points="%s"/>`+"\n", number, strings.Join(line, " "))
	if last := len(c.xs) - 1; c.name != "" {
		fmt.Fprintf(b, `<text class="c%d" x="%.1f" y="%.1f" font-weight="bold">%s</text>`+"\n", number, px(c.xs[last])+12, py(c.ys[last])+4, html.EscapeString(c.name))
	}
}

// description tells the curves in words.
func (p plot) description() string {
	var all []string
	for _, c := range p.curves {
		var points []string
		for i, x := range c.xs {
			points = append(points, fmt.Sprintf("%s at %s", human(c.ys[i]), strconv.FormatFloat(x, 'f', -1, 64)))
		}
		text := strings.Join(points, ", ")
		if c.name != "" {
			text = c.name + ": " + text
		}
		all = append(all, text)
	}
	return fmt.Sprintf("%s, by %s. %s.", p.yLabel, p.xLabel, strings.Join(all, ". "))
}
