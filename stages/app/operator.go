package app

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/journal"
	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"

	"gitlab-sysbox-executor/config"
	"gitlab-sysbox-executor/executor/accounting"
	"gitlab-sysbox-executor/executor/format"
	"gitlab-sysbox-executor/executor/job"
	"gitlab-sysbox-executor/executor/servicelog"
)

// operator is the operator's log: structured lines with the identity of the job, in systemd's journal or in
// a file. As a hook of the job's log it copies warnings and errors; with the log level debug it copies all
// messages of the executor. It is opened by its first line, so that a stage without one does not pay for it.
// A line that cannot be written is lost; nothing fails because of it.
type operator struct {
	log       *logrus.Logger
	file      *logFile
	identity  logrus.Fields
	toJournal bool
	copies    bool // whether it copies the other log
}

func newOperator(c *config.Config) *operator {
	o := &operator{log: logrus.New(), file: &logFile{path: c.LogFile}, copies: true}
	o.log.SetOutput(o.file)
	if level, err := logrus.ParseLevel(c.LogLevel); err == nil {
		o.log.SetLevel(level)
	}
	switch {
	case c.LogFormat == "json":
		o.log.SetFormatter(jsonLines())
	default:
		o.log.SetFormatter(&logrus.TextFormatter{DisableColors: true, FullTimestamp: true, TimestampFormat: time.RFC3339Nano})
	}
	switch c.LogFile {
	case "":
		o.log.SetOutput(io.Discard)
	case config.LogJournal:
		o.log.SetOutput(io.Discard)
		o.toJournal = true
	}
	return o
}

func jsonLines() logrus.Formatter {
	return &logrus.JSONFormatter{TimestampFormat: time.RFC3339Nano, DisableHTMLEscape: true}
}

// Levels are those of which Fire decides.
func (o *operator) Levels() []logrus.Level { return logrus.AllLevels }

// Fire copies an entry of the job's log. It never fails, because logrus would report that in the job's log.
func (o *operator) Fire(e *logrus.Entry) error {
	if !o.copies || e.Data[servicelog.Verbatim] == true || e.Data[raw] == true {
		return nil // the job's own output, and what only a web page shows
	}
	if e.Level > logrus.WarnLevel && !o.log.IsLevelEnabled(logrus.DebugLevel) {
		return nil
	}
	o.write(e.Level, e.Message, o.identity)
	return nil
}

// write writes a line. Texts may have been chosen by a job.
func (o *operator) write(level logrus.Level, message string, fields logrus.Fields) {
	if !o.log.IsLevelEnabled(level) {
		return
	}
	safe := logrus.Fields{}
	for name, value := range fields {
		if text, ok := value.(string); ok {
			value = bounded(text)
		}
		safe[name] = value
	}
	message = bounded(message)
	if !o.toJournal {
		o.log.WithFields(safe).Log(level, message)
		return
	}
	o.send(level, message, safe)
}

// priorities are those of the journal; logrus has no notice.
var priorities = map[logrus.Level]journal.Priority{
	logrus.PanicLevel: journal.PriEmerg, logrus.FatalLevel: journal.PriCrit, logrus.ErrorLevel: journal.PriErr, logrus.WarnLevel: journal.PriWarning,
	logrus.InfoLevel: journal.PriInfo, logrus.DebugLevel: journal.PriDebug, logrus.TraceLevel: journal.PriDebug,
}

// send writes a line to the journal, with a journal field for each field.
func (o *operator) send(level logrus.Level, message string, fields logrus.Fields) {
	if !journal.Enabled() {
		return
	}
	vars := map[string]string{"SYSLOG_IDENTIFIER": "gitlab-sysbox-executor"}
	for name, value := range fields {
		vars[strings.ToUpper(name)] = fmt.Sprint(value)
	}
	entry := o.log.WithFields(fields)
	entry.Level, entry.Message, entry.Time = level, message, time.Now()
	text, err := o.log.Formatter.Format(entry)
	if err != nil {
		return
	}
	if _, ok := o.log.Formatter.(*logrus.TextFormatter); ok { // the journal has the time and the level
		text = append([]byte(message), short(fields)...)
	}
	o.file.note(journal.Send(strings.TrimRight(string(text), "\n"), priorities[level], vars))
}

// short are the fields that a person wants to see in a line of the journal.
func short(fields logrus.Fields) string {
	var b strings.Builder
	for _, name := range []string{"job_id", "project_id", "stage", "result", "class", "failed_stage", "duration_seconds"} {
		if value, ok := fields[name]; ok {
			fmt.Fprintf(&b, " %s=%v", name, value)
		}
	}
	return b.String()
}

// longestText is the longest text in a line, in bytes.
const longestText = 2000

// bounded makes a text safe for a terminal that shows the log: one line, and not too long.
func bounded(text string) string {
	return format.Line(strings.ReplaceAll(text, "\n", " "), longestText)
}

// logFile is a file that is appended to. It is opened by the first write.
type logFile struct {
	path string
	file *os.File
	err  error // the first
	said bool  // err was reported
}

func (l *logFile) note(err error) {
	if err != nil && l.err == nil {
		l.err = err
	}
}

// Write appends a line. It returns no error, because logrus would report that in the job's log.
func (l *logFile) Write(line []byte) (int, error) {
	if l.file == nil && l.err == nil {
		l.open()
	}
	if l.file != nil {
		_, err := l.file.Write(line)
		l.note(err)
	}
	return len(line), nil
}

func (l *logFile) open() {
	// A FIFO without a reader would block.
	f, err := os.OpenFile(l.path, os.O_WRONLY|os.O_APPEND|os.O_CREATE|unix.O_NONBLOCK, 0o640)
	if err != nil {
		l.note(err)
		return
	}
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		l.note(errors.Join(err, fmt.Errorf("%s is not a file", l.path)))
		f.Close()
		return
	}
	l.file = f
}

// Identify adds the job's identity and the stage to the lines of the operator's log that follow.
func (a *App) Identify(i job.Identity, stage string) {
	a.operator.identity = identity(i)
	a.operator.identity["stage"] = stage
}

func identity(i job.Identity) logrus.Fields {
	return logrus.Fields{"server": i.Server, "runner_id": i.RunnerID, "project_id": i.ProjectID, "pipeline_id": i.PipelineID, "job_id": i.JobID}
}

// WarnOfLostLines warns if lines of the operator's log could not be written. Only a command whose messages
// the administrator sees calls it.
func (a *App) WarnOfLostLines() {
	if f := a.operator.file; f.err != nil && !f.said {
		f.said = true
		a.Log.Warnf("The operator's log (log_file) could not be written: %v", f.err)
	}
}

// jobEnded writes the line of a job that is over.
func (a *App) jobEnded(j accounting.Job) {
	seen, fields := j.Seen(), identity(j.Identity)
	var pulled int64
	var pulling float64
	for _, p := range seen.Pulls {
		pulled, pulling = pulled+p.Bytes, pulling+p.Seconds
	}
	left := 0
	for _, n := range seen.Left {
		left += n
	}
	var stages, steps durations
	for _, s := range j.Stages {
		stages.add(s.Stage, s.Seconds)
	}
	for _, s := range seen.Steps {
		steps.add(string(s.Step), s.Seconds)
	}
	maps.Copy(fields, logrus.Fields{
		"event": "job_ended", "result": string(j.Result), "class": string(j.Class), "failed_stage": j.Failed, "found_by": string(j.By), "prepare_attempts": j.Attempts,
		"duration_seconds": round(j.Duration().Seconds()), "stage_seconds": stages, "prepare_step_seconds": steps,
		"image": seen.Image, "image_digest": seen.Digest, "container_starts": seen.Containers,
		"pulled_bytes": pulled, "pull_seconds": round(pulling), "storage_peak_bytes": seen.Peak, "teardown_retries": seen.Retries, "leftovers": left,
	})
	level := logrus.InfoLevel
	if j.Result == accounting.SystemFailure || j.Result == accounting.Unknown {
		level = logrus.WarnLevel
	}
	a.operator.write(level, "Job ended.", fields)
}

// durations are times in seconds, by name, in the order of their first use.
type durations struct {
	names   []string
	seconds map[string]float64
}

func (d *durations) add(name string, seconds float64) {
	if d.seconds == nil {
		d.seconds = map[string]float64{}
	}
	name = bounded(name)
	if _, known := d.seconds[name]; !known {
		d.names = append(d.names, name)
	}
	d.seconds[name] = round(d.seconds[name] + seconds)
}

// String is the form in a line of text.
func (d durations) String() string {
	var all []string
	for _, name := range d.names {
		all = append(all, fmt.Sprintf("%s=%g", name, d.seconds[name]))
	}
	return strings.Join(all, " ")
}

// MarshalJSON is the form in a line of JSON: an object.
func (d durations) MarshalJSON() ([]byte, error) {
	if d.seconds == nil {
		return []byte("{}"), nil
	}
	return json.Marshal(d.seconds)
}

// round rounds seconds to milliseconds.
func round(seconds float64) float64 { return math.Round(seconds*1000) / 1000 }
