// Package fault gives each error a class, which becomes the exit code for the Runner.
//
// An error gets its class where it arises. Callers may wrap it. The caller that chooses the exit
// code reads the class, once.
package fault

import (
	"errors"
	"fmt"
)

// Class is the cause of an error: the system or the job.
type Class int

const (
	// System is the default class: the machine, the engine or the network failed, and a
	// retry may succeed.
	System Class = iota
	// Job is a fault in the job's definition or script: a retry would fail in the same way,
	// so the Runner must not retry.
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

// Systemf makes an error of class System, even if it wraps one of class Job.
func Systemf(format string, args ...any) error {
	return &classed{System, fmt.Errorf(format, args...)}
}

// ClassOf returns the class of the outermost error with a class.
func ClassOf(err error) Class {
	if c, ok := errors.AsType[*classed](err); ok {
		return c.class
	}
	return System
}
