// Package fault gives errors the class that decides how the Runner takes them.
//
// An error is classed where it arises, is wrapped freely on its way up, and is
// read once, by whoever turns it into an exit code.
package fault

import (
	"errors"
	"fmt"
)

// Class says whose fault an error is.
type Class int

const (
	// System is the class of every error that carries none: the machine, the
	// engine or the network failed, and another attempt may succeed.
	System Class = iota
	// Job is a fault of the job's own definition or script: another attempt
	// would fail in the same way, so the Runner must not make one.
	Job
)

type classed struct {
	class Class
	err   error
}

func (c *classed) Error() string { return c.err.Error() }
func (c *classed) Unwrap() error { return c.err }

// Jobf makes an error of class Job. It formats as fmt.Errorf does, %w included.
func Jobf(format string, args ...any) error {
	return &classed{Job, fmt.Errorf(format, args...)}
}

// Systemf makes an error of class System, also around one of class Job.
func Systemf(format string, args ...any) error {
	return &classed{System, fmt.Errorf(format, args...)}
}

// ClassOf returns the class nearest the surface of err.
func ClassOf(err error) Class {
	if c, ok := errors.AsType[*classed](err); ok {
		return c.class
	}
	return System
}
