package agent

import (
	"encoding/json"
	"fmt"
	"io"
)

// Question is the request that the driver writes, as a line of JSON, to the standard input of a
// subcommand.
type Question[O any] struct {
	// Nonce is random. The answer repeats it, so that other output is not taken for an answer.
	Nonce   string `json:"nonce"`
	Request O      `json:"request"`
}

// Answer is the response that the subcommand writes to its standard output.
type Answer[R any] struct {
	Nonce    string `json:"nonce"`
	Response R      `json:"response"`
}

// answer reads a question from in and writes the result of respond to out.
func answer[O, R any](subcommand string, in io.Reader, out io.Writer, respond func(O) R) error {
	var q Question[O]
	if err := json.NewDecoder(in).Decode(&q); err != nil {
		return fmt.Errorf("agent %s: %w", subcommand, err)
	}
	return json.NewEncoder(out).Encode(Answer[R]{Nonce: q.Nonce, Response: respond(q.Request)})
}
