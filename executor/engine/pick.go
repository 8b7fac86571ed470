package engine

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
)

// pick copies the members with the wanted names from a JSON object, or from each object of
// a JSON list. It skips all other members without storing them: answers about images
// contain text of their authors, of any length. At most so many bytes are copied. Skipped
// text is not checked for valid JSON.
func pick(text io.Reader, most int, wanted ...string) ([]byte, error) {
	p := &picker{in: bufio.NewReader(text), most: most, wanted: wanted}
	if err := p.top(); err != nil {
		return nil, fmt.Errorf("reading the engine's answer: %w", err)
	}
	return p.out.Bytes(), nil
}

type picker struct {
	in     *bufio.Reader
	out    bytes.Buffer
	most   int // limit for out, in bytes
	wanted []string
}

var errNotJSON = errors.New("it is not JSON")

// next returns the next byte that is not white space, without consuming it.
func (p *picker) next() (byte, error) {
	for {
		c, err := p.in.ReadByte()
		if errors.Is(err, io.EOF) {
			return 0, io.ErrUnexpectedEOF
		} else if err != nil {
			return 0, err
		}
		if !strings.ContainsRune(" \t\r\n", rune(c)) {
			return c, p.in.UnreadByte()
		}
	}
}

// take reads one byte, and copies it if keep is set.
func (p *picker) take(keep bool) error {
	c, err := p.in.ReadByte()
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	if err != nil || !keep {
		return err
	}
	if p.out.Len() >= p.most {
		return &tooLarge{p.most}
	}
	return p.out.WriteByte(c)
}

func (p *picker) top() error {
	c, err := p.next()
	switch {
	case err != nil:
		return err
	case c == '{':
		return p.object()
	case c != '[':
		return p.value(true)
	}
	if err := p.take(true); err != nil {
		return err
	}
	for some := false; ; {
		c, err := p.next()
		switch {
		case err != nil:
		case c == ']':
			return p.take(true)
		case c == ',':
			err = p.take(false)
		case c != '{':
			err = p.value(false)
		default:
			if some {
				p.out.WriteByte(',')
			}
			some, err = true, p.object()
		}
		if err != nil {
			return err
		}
	}
}

// object copies the wanted members of an object.
func (p *picker) object() error {
	if err := p.take(true); err != nil {
		return err
	}
	for some := false; ; {
		switch c, err := p.next(); {
		case err != nil:
			return err
		case c == '}':
			return p.take(true)
		case c == ',':
			if err := p.take(false); err != nil {
				return err
			}
			continue
		case c != '"':
			return errNotJSON
		}
		keep := p.isWanted()
		if keep && some {
			p.out.WriteByte(',')
		}
		some = some || keep
		if err := p.member(keep); err != nil {
			return err
		}
	}
}

// longestName is longer than any wanted member name with its quotes.
const longestName = 64

// isWanted reports whether the name that is read next is wanted.
func (p *picker) isWanted() bool {
	head, _ := p.in.Peek(longestName) // an error only means that less text is left
	return slices.ContainsFunc(p.wanted, func(name string) bool { return bytes.HasPrefix(head, []byte(`"`+name+`"`)) })
}

// member reads a name and its value.
func (p *picker) member(keep bool) error {
	if err := p.text(keep); err != nil {
		return err
	}
	if c, err := p.next(); err != nil {
		return err
	} else if c != ':' {
		return errNotJSON
	}
	if err := p.take(keep); err != nil {
		return err
	}
	return p.value(keep)
}

// text reads a string.
func (p *picker) text(keep bool) error {
	if err := p.take(keep); err != nil { // the opening quote
		return err
	}
	for {
		c, err := p.in.Peek(1)
		if len(c) == 0 {
			return errors.Join(io.ErrUnexpectedEOF, err)
		}
		quote, escape := c[0] == '"', c[0] == '\\'
		if err := p.take(keep); err != nil || quote {
			return err
		}
		if escape {
			if err := p.take(keep); err != nil {
				return err
			}
		}
	}
}

// value reads one value of any kind.
func (p *picker) value(keep bool) error {
	for depth := 0; ; {
		c, err := p.next()
		switch {
		case err != nil:
			return err
		case c == '"':
			err = p.text(keep)
		case c == '{' || c == '[':
			depth++
			err = p.take(keep)
		case depth == 0 && strings.ContainsRune("}],:", rune(c)):
			return errNotJSON
		case c == '}' || c == ']':
			depth--
			err = p.take(keep)
		case c == ',' || c == ':':
			err = p.take(keep)
		default:
			err = p.word(keep)
		}
		if err != nil || depth == 0 {
			return err
		}
	}
}

// word reads a number, true, false or null.
func (p *picker) word(keep bool) error {
	for {
		c, err := p.in.Peek(1)
		if len(c) == 0 {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		if strings.ContainsRune("{}[],:\" \t\r\n", rune(c[0])) {
			return nil
		}
		if err := p.take(keep); err != nil {
			return err
		}
	}
}

// picking is a transport that keeps only the wanted members of each answer.
type picking struct {
	http.RoundTripper
	most   int
	wanted func(path string) []string
}

func (t picking) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := t.RoundTripper.RoundTrip(r)
	if err != nil || answer.StatusCode != http.StatusOK || !strings.HasPrefix(answer.Header.Get("Content-Type"), "application/json") {
		return answer, err
	}
	text, err := pick(answer.Body, t.most, t.wanted(r.URL.Path)...)
	if err := errors.Join(err, answer.Body.Close()); err != nil {
		return nil, err
	}
	answer.Body, answer.ContentLength = io.NopCloser(bytes.NewReader(text)), int64(len(text))
	return answer, nil
}
