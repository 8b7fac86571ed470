//go:build agentprogram

package agentprogram

import _ "embed"

//go:embed agent
var embedded []byte

func init() { program = embedded }
