package stages

import (
	"strconv"

	"gitlab-sysbox-executor/executor/fault"
)

// systemdVariable is the variable of the job, or of a service, that says whether
// systemd is to be the first process of its container.
const systemdVariable = "EXECUTOR_SYSTEMD"

// systemd is what the job says of it; nil when it says nothing.
func systemd(c *Call) (*bool, error) { return systemdWord("the job", c.Variables[systemdVariable]) }

// serviceSystemd is what the service itself says of it: the job's variables are
// about the job's container.
func serviceSystemd(s Image) (*bool, error) {
	for _, v := range s.Variables {
		if v.Key == systemdVariable {
			return systemdWord("service "+s.Name+": the", v.Value)
		}
	}
	return nil, nil
}

func systemdWord(whose, text string) (*bool, error) {
	if text == "" {
		return nil, nil
	}
	wanted, err := strconv.ParseBool(text)
	if err != nil {
		return nil, fault.Jobf("%s variable %s=%s is neither true nor false", whose, systemdVariable, fault.Quote(text))
	}
	return &wanted, nil
}
