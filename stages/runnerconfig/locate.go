package runnerconfig

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/pelletier/go-toml/v2/unstable"
)

// span is a range of bytes.
type span struct{ start, end int }

// place is where a runner is in the text.
type place struct {
	end    int    // of the last line that belongs to it, before the line's own end
	indent string // of its keys
	// custom is the end of the line [runners.custom]; 0 if there is none. keys are the values of the keys below it.
	custom       int
	customIndent string
	keys         map[string]span
	closed       bool // the section is there in a form without a line of its own
}

// locate returns the places of the runners, in their order. The text is valid TOML.
func locate(text []byte) ([]*place, error) {
	text = slices.Clip(text) // the parser finds offsets by the capacity
	var parser unstable.Parser
	parser.Reset(text)
	var all []*place
	var table []string
	for parser.NextExpression() {
		e := parser.Expression()
		keys, end := names(e), endOf(e)
		if e.Kind == unstable.KeyValue {
			if len(all) > 0 && len(table) > 0 && table[0] == "runners" {
				all[len(all)-1].key(text, table[1:], keys, valueOf(text, e))
			}
		} else {
			table = keys
			if e.Kind == unstable.ArrayTable && slices.Equal(table, []string{"runners"}) {
				all = append(all, &place{keys: map[string]span{}, indent: indentOf(text, startOf(e)) + "  "})
			}
		}
		if len(all) == 0 || len(table) == 0 || table[0] != "runners" {
			continue
		}
		p := all[len(all)-1]
		p.end = lineEnd(text, end)
		if e.Kind == unstable.Table && slices.Equal(table, []string{"runners", "custom"}) {
			p.custom, p.customIndent = p.end, indentOf(text, startOf(e))
		}
	}
	if err := parser.Error(); err != nil {
		return nil, fmt.Errorf("the file has a form that cannot be edited here: %w", err)
	}
	return all, nil
}

// key records a key of the runner. The table is relative to the runner.
func (p *place) key(text []byte, table, key []string, at span) {
	path := append(slices.Clone(table), key...)
	switch {
	case len(table) == 0 && path[0] == "custom":
		p.closed = true
	case len(table) == 0 && len(p.keys) == 0:
		p.indent = indentOf(text, at.start)
	case len(table) == 1 && table[0] == "custom" && len(key) == 1:
		p.keys[key[0]] = at
	}
}

// valueOf returns where the value of a key is.
func valueOf(text []byte, e *unstable.Node) span {
	start := endOfKey(e)
	start += bytes.IndexByte(text[start:], '=') + 1
	start += len(text[start:]) - len(bytes.TrimLeft(text[start:], " \t"))
	return span{start, int(e.Raw.Offset + e.Raw.Length)}
}

// names returns the parts of the key of an expression.
func names(e *unstable.Node) []string {
	var all []string
	for it := e.Key(); it.Next(); {
		all = append(all, string(it.Node().Data))
	}
	return all
}

// startOf returns the offset of the first part of a table's name.
func startOf(e *unstable.Node) int { return int(e.Child().Raw.Offset) }

// endOf returns an offset in the last line of an expression.
func endOf(e *unstable.Node) int {
	if e.Kind == unstable.KeyValue {
		return int(e.Raw.Offset + e.Raw.Length)
	}
	return endOfKey(e)
}

// endOfKey returns the offset behind the last part of the key.
func endOfKey(e *unstable.Node) int {
	end := 0
	for it := e.Key(); it.Next(); {
		end = int(it.Node().Raw.Offset + it.Node().Raw.Length)
	}
	return end
}

// lineEnd returns the end of the line, before its line break.
func lineEnd(text []byte, at int) int {
	n := bytes.IndexByte(text[at:], '\n')
	if n < 0 {
		return len(text)
	}
	at += n
	if at > 0 && text[at-1] == '\r' {
		at--
	}
	return at
}

// indentOf returns the blanks before the text of a line.
func indentOf(text []byte, at int) string {
	start := bytes.LastIndexByte(text[:at], '\n') + 1
	line := text[start:]
	return string(line[:len(line)-len(bytes.TrimLeft(line, " \t"))])
}
