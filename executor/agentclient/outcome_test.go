package agentclient

import (
	"strings"
	"testing"
)

const trace = "SCHED 0ms: gomaxprocs=2 idleprocs=1\ninit internal/bytealg @0.005 ms\n"

// The outcome is found among what Go's runtime may say for the job's GODEBUG, in
// whatever pieces it comes, and is reported once, when it is whole.
func TestOutcomeReader(t *testing.T) {
	const outcome = `{"nonce":"N1","code":7}` + "\n"
	for name, text := range map[string]string{
		"alone":               outcome,
		"before":              trace + outcome,
		"around":              trace + outcome + trace,
		"twice":               outcome + `{"nonce":"N1","code":0}` + "\n",
		"long":                strings.Repeat(trace, 2000) + outcome,
		"behind a long line":  strings.Repeat("x", 1<<20) + "\n" + outcome,
		"behind long outcome": `{"nonce":"N1","error":"` + strings.Repeat("x", 1<<20) + "\"}\n" + outcome,
		"behind others":       "{}\n{\"code\":0}\n{\"nonce\":\"\",\"code\":0}\n{\"nonce\":\"N2\",\"code\":0,\"error\":\"N1\"}\n[]\n" + outcome,
	} {
		t.Run(name, func(t *testing.T) {
			for _, size := range []int{1, 7, 32 << 10} {
				found := 0
				r := outcomeReader{nonce: "N1", found: func() { found++ }}
				for rest := text; rest != ""; {
					piece := rest[:min(size, len(rest))]
					rest = rest[len(piece):]
					if n, err := r.Write([]byte(piece)); n != len(piece) || err != nil {
						t.Fatal(n, err)
					}
				}
				if found != 1 || r.outcome == nil || r.outcome.Code != 7 {
					t.Errorf("in pieces of %d: reported %d times, %+v", size, found, r.outcome)
				}
				if cap(r.line)+cap(r.said) > 3*longestLine {
					t.Errorf("in pieces of %d: %d bytes are kept", size, cap(r.line)+cap(r.said))
				}
			}
		})
	}
}

func TestOutcomeReaderKeepsWhatIsSaid(t *testing.T) {
	r := outcomeReader{nonce: "N1", found: func() { t.Error("an outcome was found") }}
	_, _ = r.Write([]byte(strings.Repeat(trace, 5000) + `{"code":0}` + "\nthe end")) // a bytes.Buffer's: no error
	_, _ = r.Write([]byte(` {"nonce":"N1","code":`))
	if said := string(r.said); r.outcome != nil || len(said) > mostSaid || !strings.HasSuffix(said, "{\"code\":0}\nthe end {\"nonce\":\"N1\",\"code\":") {
		t.Errorf("%+v %q", r.outcome, r.said)
	}
}
