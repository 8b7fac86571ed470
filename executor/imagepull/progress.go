package imagepull

import (
	"fmt"
	"strings"
	"time"

	"github.com/docker/go-units"
	"github.com/sirupsen/logrus"

	"gitlab-sysbox-executor/executor/engine"
)

// When a line on a pull is due: not before tellPause after the last one, then
// with the next tellStep percent, and at the latest after tellLongest. A pull of
// an hour is told in some 200 lines, one of 30 seconds in five.
const (
	tellPause   = 5 * time.Second
	tellLongest = 20 * time.Second
	tellStep    = 10
)

// layer is what is known of one layer of a pull, in bytes.
type layer struct {
	size     int64 // 0: not known yet
	here     int64 // downloaded
	unpacked int64
	complete bool // downloaded
	again    bool // broken off, and waiting for the engine's next try
}

// teller tells the progress of one pull. The engine reports layers only; a few of
// them are downloaded at a time, and the size of the others is not known.
type teller struct {
	log    logrus.FieldLogger
	name   string
	layers map[string]*layer

	began, last time.Time
	lastBytes   int64
	lastPercent int64
	lastPhase   string
}

func newTeller(log logrus.FieldLogger, name string) *teller {
	now := time.Now()
	return &teller{log: log, name: name, layers: map[string]*layer{}, began: now, last: now}
}

// The statuses are those of the engine (moby, distribution/ and pkg/progress).
func (t *teller) tell(p engine.Progress) {
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
		if !strings.HasPrefix(p.Status, "Retrying in ") { // counts down
			return
		}
		if l := t.layer(p); !l.again {
			l.again, l.here = true, 0
			t.log.Warnf("Pulling %s: the download of a layer broke off; the engine tries it again", t.name)
		}
	}
	t.line()
}

func (t *teller) layer(p engine.Progress) *layer {
	l := t.layers[p.Layer]
	if l == nil {
		l = &layer{}
		t.layers[p.Layer] = l
	}
	return l
}

// sums are over all layers; unknown is the number of those without a size.
func (t *teller) sums() (here, size, unpacked int64, unknown int, complete bool) {
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

// line tells how far the pull is, if it is time to.
func (t *teller) line() {
	here, size, unpacked, unknown, complete := t.sums()
	since := time.Since(t.last)
	if size == 0 || since < tellPause {
		return
	}
	phase, done := "Pulling", here
	if complete {
		phase, done = "Unpacking", unpacked
	}
	percent := 100 * done / size
	if phase == t.lastPhase && percent < t.lastPercent+tellStep && since < tellLongest {
		return
	}
	if phase == "Unpacking" {
		t.log.Infof("Unpacking %s: %s of %s (%d%%)", t.name, amount(done), amount(size), percent)
	} else {
		t.log.Infof("Pulling %s: %s", t.name, downloading(here, size, here-t.lastBytes, unknown, since))
	}
	t.last, t.lastBytes, t.lastPercent, t.lastPhase = time.Now(), here, percent, phase
}

// downloading words how far a download is, at the speed since the last line.
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

// end tells what a pull that succeeded took, if anything was downloaded.
func (t *teller) end() {
	here, _, _, _, _ := t.sums()
	took := time.Since(t.began)
	if here > 0 && took > 0 {
		t.log.Infof("Pulled %s: %s in %s", t.name, amount(here), took.Round(100*time.Millisecond))
	}
}

func amount(n int64) string { return units.HumanSizeWithPrecision(float64(n), 4) }
