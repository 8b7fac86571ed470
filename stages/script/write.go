package script

// Quote makes one shell word of s, as the Runner writes the values it exports.
func Quote(s string) string {
	return "$'" + string(quoteANSI([]byte(s))) + "'"
}

// Wrap makes a stage's script of the commands in body, in the form of the
// Runner's bash writer (shells/bash.go, BashWriter.Finish).
func Wrap(body string) []byte {
	text := []byte("#!/usr/bin/env bash\n\ntrap 'exit 1' TERM\n\n" +
		"case \"$(set -o)\" in *\"pipefail\"*) set -o pipefail;; esac; set -o errexit\n" +
		"set +o noclobber\n" +
		"(trap 'exit 1' TERM; eval $'")
	text = append(text, quoteANSI([]byte(body))...)
	return append(text, "') < /dev/null\nexit 0\n"...)
}

func quoteANSI(s []byte) (quoted []byte) {
	for _, c := range s {
		quoted = ansiC.escape(quoted, c)
	}
	return quoted
}
