package app

import (
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/docker/go-units"
	"golang.org/x/term"

	"gitlab-sysbox-executor/executor/format"
)

// bar shows the progress of pulls in the last line of a terminal, below the lines of the log, which are written to it,
// too. It is safe for concurrent use.
type bar struct {
	to    io.Writer
	width func() int // columns of the terminal

	mu     sync.Mutex
	images map[string]transfer
	shown  bool
	drawn  time.Time
}

// transfer is the progress of one image, in bytes.
type transfer struct {
	unpacking   bool
	done, total int64
	began       time.Time
	from        int64 // done when it began
}

// redraw is the shortest time between two drawings.
const redraw = 100 * time.Millisecond

// Show implements imagepull.Meter.
func (b *bar) Show(image string, unpacking bool, done, total int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.images == nil {
		b.images = map[string]transfer{}
	}
	t, known := b.images[image]
	if !known || t.unpacking != unpacking {
		t.began, t.from = time.Now(), done
	}
	t.unpacking, t.done, t.total = unpacking, done, total
	b.images[image] = t
	if time.Since(b.drawn) >= redraw {
		b.draw()
	}
}

// Hide implements imagepull.Meter.
func (b *bar) Hide(image string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.images, image)
	b.clear()
	if len(b.images) > 0 {
		b.draw()
	}
}

// Write writes whole lines above the bar.
func (b *bar) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.clear()
	n, err := b.to.Write(p)
	if len(b.images) > 0 {
		b.draw()
	}
	return n, err
}

// clear removes the bar: to the line's begin, and erase to its end (console_codes(4)).
func (b *bar) clear() {
	if b.shown {
		io.WriteString(b.to, "\r\x1b[K")
		b.shown = false
	}
}

func (b *bar) draw() {
	b.drawn = time.Now()
	b.shown = true
	io.WriteString(b.to, "\r"+b.line(b.drawn, b.width())+"\x1b[K")
}

// longestBar is in columns.
const longestBar = 40

// line is the text of the bar. It is shorter than the terminal, because a line of its width would wrap.
func (b *bar) line(now time.Time, width int) string {
	var all transfer
	for _, t := range b.images {
		all.done, all.total, all.from = all.done+t.done, all.total+t.total, all.from+t.from
		if all.began.IsZero() || t.began.Before(all.began) {
			all.began = t.began
		}
	}
	what := fmt.Sprintf("Pulling %d images", len(b.images))
	if names := slices.Sorted(maps.Keys(b.images)); len(names) == 1 {
		what = "Pulling "
		if b.images[names[0]].unpacking {
			what = "Unpacking "
		}
		what += format.Printable(names[0], "")
	}
	share := float64(all.done) / float64(max(1, all.total))
	share = min(1, max(0, share))
	figures := fmt.Sprintf(" %3.0f%% of %s", 100*share, units.HumanSizeWithPrecision(float64(all.total), 3))
	if took := now.Sub(all.began).Seconds(); took > 1 {
		figures += fmt.Sprintf(", %s/s", units.HumanSizeWithPrecision(float64(max(0, all.done-all.from))/took, 3))
	}
	const least = 10
	if room := width - 1 - len(figures); len([]rune(what)) > room-least-3 {
		what = string([]rune(what)[:max(0, min(len([]rune(what)), room-least-3))])
	}
	room := min(longestBar, width-1-len(figures)-len([]rune(what))-3)
	if room < least {
		return strings.TrimSpace(figures)[:max(0, min(width-1, len(strings.TrimSpace(figures))))]
	}
	full := int(share * float64(room))
	return what + " [" + strings.Repeat("#", full) + strings.Repeat(".", room-full) + "]" + figures
}

// terminal is an open terminal.
type terminal struct{ fd int }

// terminalOf returns the terminal behind a writer; nil if there is none.
func terminalOf(w io.Writer) *terminal {
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) || os.Getenv("TERM") == "dumb" {
		return nil
	}
	return &terminal{int(f.Fd())}
}

func (t *terminal) width() int {
	if columns, _, err := term.GetSize(t.fd); err == nil && columns > 0 {
		return columns
	}
	return 80
}
