package admin

import "gitlab-sysbox-executor/executor/format"

// longestCell is the longest text in a table, in bytes.
const longestCell = 1000

// printable makes a foreign text, such as a label, a container's name or an error, safe for
// root's terminal: one line, without control or invisible characters, and cut to
// longestCell.
func printable(text string) string { return format.Line(text, longestCell) }
