package imagepull

import (
	"fmt"
	"strings"
	"time"

	"github.com/docker/go-units"
	"github.com/sirupsen/logrus"

	"gitlab-sysbox-executor/executor/engine"
)

// A line about a pull is logged at most every reportPause, when reportStep more percent are
// done, and at the latest after reportLongest. A pull of one hour has some 200 lines, and one of
// 30 seconds has five.
const (
	reportPause   = 5 * time.Second
	reportLongest = 20 * time.Second
	reportStep    = 10
)

// layer is the state of one layer of a pull. Sizes are in bytes.
type layer struct {
	size     int64 // 0: not known yet
	here     int64 // downloaded
	unpacked int64
	complete bool // downloaded
	again    bool // interrupted, and waiting for the engine's next attempt
}

// reporter logs the progress of one pull. The engine reports only layers. It downloads a few of
// them at a time, and the sizes of the others are not known yet.
type reporter struct {
	log    logrus.FieldLogger
	meter  Meter // nil for lines in the log
	name   string
	layers map[string]*layer

	began, last time.Time
	lastBytes   int64
	lastPercent int64
	lastPhase   string
}

func newReporter(log logrus.FieldLogger, name string) *reporter {
	now := time.Now()
	return &reporter{log: log, name: name, layers: map[string]*layer{}, began: now, last: now}
}

// The statuses are those of the engine (moby, distribution/ and pkg/progress).
func (t *reporter) report(p engine.Progress) {
	switch p.Status {
	case "Pulling fs layer", "Waiting":
		t.layer(p)
	case "Downloading":
		l := t.layer(p)
		l.size, l.here, l.again = max(l.size, p.Total), p.Current, false
	case "Verifying Checksum", "Download complete":
		l := t.layer(p)
		l.here, l.complete, l.again = l.size, true, false
	case "Extracting":
		l := t.layer(p)
		l.here, l.complete, l.unpacked = l.size, true, min(p.Current, l.size)
	case "Pull complete":
		l := t.layer(p)
		l.here, l.complete, l.unpacked = l.size, true, l.size
	case "Already exists":
		delete(t.layers, p.Layer)
	default:
		if !strings.HasPrefix(p.Status, "Retrying in ") { // the text counts down
			return
		}
		if l := t.layer(p); !l.again {
			l.again, l.here = true, 0
			t.log.Warnf("Pulling %s: the download of a layer broke off; the engine tries it again", t.name)
		}
	}
	t.line()
}

func (t *reporter) layer(p engine.Progress) *layer {
	l := t.layers[p.Layer]
	if l == nil {
		l = &layer{}
		t.layers[p.Layer] = l
	}
	return l
}

// sums returns the sums over all layers; unknown is the number of layers without a size.
func (t *reporter) sums() (here, size, unpacked int64, unknown int, complete bool) {
	complete = true
	for _, l := range t.layers {
		here, size, unpacked = here+l.here, size+l.size, unpacked+l.unpacked
		if !l.complete {
			complete = false
			if l.size == 0 {
				unknown++
			}
		}
	}
	return here, size, unpacked, unknown, complete
}

// line logs the progress if a line is due, or shows it.
func (t *reporter) line() {
	here, size, unpacked, unknown, complete := t.sums()
	if t.meter != nil && size > 0 {
		if complete {
			here = unpacked
		}
		t.meter.Show(t.name, complete, here, size)
		return
	}
	since := time.Since(t.last)
	if size == 0 || since < reportPause {
		return
	}
	phase, done := "Pulling", here
	if complete {
		phase, done = "Unpacking", unpacked
	}
	percent := 100 * done / size
	if phase == t.lastPhase && percent < t.lastPercent+reportStep && since < reportLongest {
		return
	}
	if phase == "Unpacking" {
		t.log.Infof("Unpacking %s: %s of %s (%d%%)", t.name, amount(done), amount(size), percent)
	} else {
		t.log.Infof("Pulling %s: %s", t.name, downloading(here, size, here-t.lastBytes, unknown, since))
	}
	t.last, t.lastBytes, t.lastPercent, t.lastPhase = time.Now(), here, percent, phase
}

// downloading describes the progress of a download, with the speed since the last line.
func downloading(here, size, more int64, unknown int, since time.Duration) string {
	text := fmt.Sprintf("%s of %s", amount(here), amount(size))
	least := ""
	switch unknown {
	case 0:
		text += fmt.Sprintf(" (%d%%)", 100*here/size)
	case 1:
		text, least = text+" and 1 more layer", "at least "
	default:
		text, least = text+fmt.Sprintf(" and %d more layers", unknown), "at least "
	}
	if more <= 0 {
		return text + fmt.Sprintf(", nothing in the last %s", since.Round(time.Second))
	}
	speed := float64(more) / since.Seconds()
	left := time.Duration(float64(size-here) / speed * float64(time.Second))
	return text + fmt.Sprintf(", %s/s, %s%s left", amount(int64(speed)), least, left.Round(time.Second))
}

// end logs the size and time of a successful pull, if anything was downloaded.
func (t *reporter) end() {
	here, _, _, _, _ := t.sums()
	took := time.Since(t.began)
	if here > 0 && took > 0 {
		t.log.Infof("Pulled %s: %s in %s", t.name, amount(here), took.Round(100*time.Millisecond))
	}
}

func amount(n int64) string { return units.HumanSizeWithPrecision(float64(n), 4) }
