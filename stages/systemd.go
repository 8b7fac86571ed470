package stages

import (
	"strconv"

	"gitlab-sysbox-executor/executor/fault"
)

// systemdVariable is the job variable that says whether systemd is to be the
// container's first process.
const systemdVariable = "EXECUTOR_SYSTEMD"

// systemd is what the job says of it; nil when it says nothing.
func systemd(c *Call) (*bool, error) {
	text := c.Variables[systemdVariable]
	if text == "" {
		return nil, nil
	}
	wanted, err := strconv.ParseBool(text)
	if err != nil {
		return nil, fault.Jobf("the job variable %s=%q is neither true nor false", systemdVariable, text)
	}
	return &wanted, nil
}
