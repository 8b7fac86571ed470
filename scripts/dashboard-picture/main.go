// Dashboard-picture draws the panels of docs/observe/dashboard.json as an SVG, from the data of a Prometheus.
// It is no screenshot of Grafana: it has the panels' places, titles, queries and data, drawn plainly.
//
//	go run ./scripts/dashboard-picture -prometheus http://127.0.0.1:9090 -for 10m >docs/observe/dashboard.svg
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"html"
	"io"
	"log"
	"math"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/docker/go-units"
)

type dashboard struct {
	Title  string  `json:"title"`
	Panels []panel `json:"panels"`
}

type panel struct {
	Type    string `json:"type"`
	Title   string `json:"title"`
	GridPos struct{ X, Y, W, H float64 }
	Field   struct {
		Defaults struct {
			Unit   string `json:"unit"`
			Custom struct {
				Stacking struct{ Mode string } `json:"stacking"`
			} `json:"custom"`
		} `json:"defaults"`
	} `json:"fieldConfig"`
	Targets []struct {
		Expr   string `json:"expr"`
		Legend string `json:"legendFormat"`
	} `json:"targets"`
}

// series are the values of a line at the steps of the picture; NaN where there is none.
type series struct {
	name   string
	values []float64
}

type window struct {
	address, rate string
	from, to      time.Time
	step          time.Duration
}

func (w window) steps() int { return int(w.to.Sub(w.from)/w.step) + 1 }

// The size of a cell of Grafana's grid in the picture.
const (
	cellWidth, cellHeight = 50, 30
	margin                = 4
)

var colours = []string{"#3274d9", "#ff780a", "#56a64b", "#e02f44", "#a352cc", "#e0b400", "#37872d", "#5794f2", "#b877d9", "#fa6400"}

func main() {
	log.SetFlags(0)
	file := flag.String("dashboard", "docs/observe/dashboard.json", "the dashboard")
	address := flag.String("prometheus", "http://127.0.0.1:9090", "address of the Prometheus with the data")
	length := flag.Duration("for", 10*time.Minute, "how much of the past is in the picture")
	rate := flag.String("rate", "2m", "value of $__rate_interval")
	flag.Parse()
	text, err := os.ReadFile(*file)
	if err != nil {
		log.Fatal(err)
	}
	var d dashboard
	if err := json.Unmarshal(text, &d); err != nil {
		log.Fatal(err)
	}
	now := time.Now().Truncate(time.Second)
	w := window{*address, *rate, now.Add(-*length), now, max(*length/200, time.Second)}
	if err := draw(os.Stdout, d, w); err != nil {
		log.Fatal(err)
	}
}

func draw(out io.Writer, d dashboard, w window) error {
	height := 0.0
	for _, p := range d.Panels {
		height = max(height, p.GridPos.Y+p.GridPos.H)
	}
	fmt.Fprintf(out, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %g" font-family="sans-serif" font-size="10">`+"\n", 24*cellWidth, height*cellHeight+24)
	fmt.Fprintf(out, "<rect width=\"100%%\" height=\"100%%\" fill=\"#f4f5f5\"/>\n<text x=\"6\" y=\"16\" font-size=\"13\" font-weight=\"bold\">%s</text>\n", html.EscapeString(d.Title))
	fmt.Fprintf(out, "<text x=\"%d\" y=\"16\" text-anchor=\"end\" fill=\"#555\">%s to %s UTC; drawn by scripts/dashboard-picture, not by Grafana</text>\n", 24*cellWidth-6, w.from.UTC().Format("2006-01-02 15:04"), w.to.UTC().Format("15:04"))
	for _, p := range d.Panels {
		if err := p.draw(out, w); err != nil {
			return fmt.Errorf("%s: %w", p.Title, err)
		}
	}
	_, err := fmt.Fprintln(out, "</svg>")
	return err
}

func (p panel) draw(out io.Writer, w window) error {
	x, y := p.GridPos.X*cellWidth+margin, p.GridPos.Y*cellHeight+24
	width, height := p.GridPos.W*cellWidth-2*margin, p.GridPos.H*cellHeight-2*margin
	if p.Type == "row" {
		fmt.Fprintf(out, "<text x=\"%g\" y=\"%g\" font-size=\"12\" font-weight=\"bold\">%s</text>\n", x, y+17, html.EscapeString(p.Title))
		return nil
	}
	fmt.Fprintf(out, "<g transform=\"translate(%g %g)\"><rect width=\"%g\" height=\"%g\" fill=\"#fff\" stroke=\"#ccc\"/><text x=\"8\" y=\"15\" font-weight=\"bold\">%s</text>\n", x, y, width, height, html.EscapeString(p.Title))
	defer fmt.Fprintln(out, "</g>")
	all, err := p.query(w)
	if err != nil {
		return err
	}
	unit := p.Field.Defaults.Unit
	if p.Type == "stat" {
		value := math.NaN()
		if len(all) > 0 {
			value = all[0].values[len(all[0].values)-1]
		}
		fmt.Fprintf(out, "<text x=\"%g\" y=\"%g\" font-size=\"26\" text-anchor=\"middle\">%s</text>\n", width/2, height/2+18, amount(value, unit))
		return nil
	}
	drawLines(out, all, width, height, unit, p.Field.Defaults.Custom.Stacking.Mode == "normal")
	return nil
}

// drawLines draws the lines of a panel, its axis and its legend.
func drawLines(out io.Writer, all []series, width, height float64, unit string, stacked bool) {
	const left, top, bottom = 62, 24, 24
	right, base := width-8, height-bottom
	lines := make([][]float64, len(all))
	most := 0.0
	var below []float64
	for n, s := range all {
		lines[n] = append([]float64(nil), s.values...)
		for i := range lines[n] {
			if stacked && below != nil && !math.IsNaN(below[i]) {
				if math.IsNaN(lines[n][i]) {
					lines[n][i] = 0
				}
				lines[n][i] += below[i]
			}
			if !math.IsNaN(lines[n][i]) && !math.IsInf(lines[n][i], 0) {
				most = max(most, lines[n][i])
			}
		}
		below = lines[n]
	}
	if most == 0 {
		most = 1
	}
	for n := range 5 {
		value := most * float64(n) / 4
		y := base - (base-top)*float64(n)/4
		fmt.Fprintf(out, "<path d=\"M%d %.1fH%.1f\" stroke=\"#eee\"/><text x=\"%d\" y=\"%.1f\" text-anchor=\"end\" fill=\"#555\">%s</text>\n", left, y, right, left-4, y+3, amount(value, unit))
	}
	at := 8.0
	for n := len(lines) - 1; n >= 0; n-- {
		fmt.Fprintf(out, "<path d=\"%s\" fill=\"none\" stroke=\"%s\" stroke-width=\"1.3\"/>\n", path(lines[n], left, top, right, base, most), colours[n%len(colours)])
	}
	for n, s := range all {
		if at+float64(len(s.name))*6 > width {
			fmt.Fprintf(out, "<text x=\"%.0f\" y=\"%.0f\">…</text>\n", at, height-7)
			break
		}
		fmt.Fprintf(out, "<rect x=\"%.0f\" y=\"%.0f\" width=\"9\" height=\"3\" fill=\"%s\"/><text x=\"%.0f\" y=\"%.0f\">%s</text>\n", at, height-11, colours[n%len(colours)], at+12, height-7, html.EscapeString(s.name))
		at += 24 + float64(len(s.name))*5.6
	}
	if len(all) == 0 {
		fmt.Fprintf(out, "<text x=\"%.0f\" y=\"%.0f\" text-anchor=\"middle\" fill=\"#888\">no data</text>\n", width/2, height/2)
	}
}

// path is a line, with gaps where there is no value.
func path(values []float64, left, top, right, base, most float64) string {
	var b strings.Builder
	move := "M"
	for n, v := range values {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			move = "M"
			continue
		}
		fmt.Fprintf(&b, "%s%.1f %.1f", move, left+(right-left)*float64(n)/float64(max(1, len(values)-1)), base-(base-top)*v/most)
		move = "L"
	}
	return b.String()
}

// query asks for the panel's series.
func (p panel) query(w window) (all []series, err error) {
	for _, t := range p.Targets {
		expr := strings.NewReplacer("$__rate_interval", w.rate, "$instance", ".*").Replace(t.Expr)
		r, err := http.Get(w.address + "/api/v1/query_range?" + url.Values{
			"query": {expr}, "start": {strconv.FormatInt(w.from.Unix(), 10)}, "end": {strconv.FormatInt(w.to.Unix(), 10)}, "step": {fmt.Sprintf("%g", w.step.Seconds())},
		}.Encode())
		if err != nil {
			return nil, err
		}
		var answer struct {
			Status, Error string
			Data          struct {
				Result []struct {
					Metric map[string]string
					Values [][2]any
				}
			}
		}
		err = json.NewDecoder(r.Body).Decode(&answer)
		r.Body.Close()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", expr, err)
		} else if answer.Status != "success" {
			return nil, fmt.Errorf("%s: %s", expr, answer.Error)
		}
		for _, found := range answer.Data.Result {
			s := series{name: t.Legend, values: make([]float64, w.steps())}
			for n := range s.values {
				s.values[n] = math.NaN()
			}
			for name, value := range found.Metric {
				s.name = strings.ReplaceAll(s.name, "{{"+name+"}}", value)
			}
			for _, v := range found.Values {
				at, _ := v[0].(float64)
				text, _ := v[1].(string)
				value, err := strconv.ParseFloat(text, 64)
				if n := int(math.Round((at - float64(w.from.Unix())) / w.step.Seconds())); err == nil && n >= 0 && n < len(s.values) {
					s.values[n] = value
				}
			}
			all = append(all, s)
		}
	}
	return all, nil
}

// amount formats a value in a unit of Grafana's.
func amount(v float64, unit string) string {
	switch {
	case math.IsNaN(v):
		return "-"
	case unit == "s" && v > 0 && v < 1:
		return fmt.Sprintf("%.0f ms", v*1000)
	case unit == "s":
		return fmt.Sprintf("%.3g s", v)
	case unit == "percentunit":
		return fmt.Sprintf("%.4g %%", v*100)
	case unit == "bytes":
		return units.BytesSize(v)
	case unit == "Bps":
		return units.BytesSize(v) + "/s"
	}
	return strconv.FormatFloat(v, 'g', 3, 64)
}
