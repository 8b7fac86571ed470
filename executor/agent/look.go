package agent

import (
	"fmt"
	"io"
)

// Look answers a LookRequest read from in with a LookResponse written to out.
func Look(in io.Reader, out io.Writer) error {
	return answer("look", in, out, LookRequest.report)
}

func (o LookRequest) report() (r LookResponse) {
	if o.SystemdTimeout > 0 {
		if s, err := awaitSystemd(o.SystemdTimeout); err != nil {
			r.SystemdFault = err.Error()
		} else {
			r.Systemd = &s
		}
	}
	r.EmulateFault = emulateFault(o.Emulate)
	// systemd may mount over requested mounts while it boots, so this comes after it.
	var err error
	if r.MountFaults, err = checkMounts(o.Mounts); err != nil {
		return LookResponse{Error: fmt.Sprintf("the container's mount table: %v", err)}
	}
	return r
}
