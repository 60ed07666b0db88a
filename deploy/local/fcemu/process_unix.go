//go:build unix

package fcemu

import (
	"fmt"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// guardScript runs beside each function binary and leads their common process group. Its descriptor 3 is a pipe that only this
// process can write to and never does: the read returns when the pipe closes, which the kernel does even if this process is
// killed, and then the group ends. Without it a binary whose Runtime API is gone would spin for ever.
const guardScript = `read -r line <&3; kill -KILL 0`

// drainLimit is how long a dead binary's output is waited for; only a descendant that left the group can hold it open.
const drainLimit = time.Second

// process is a function binary with its guard and whatever it started itself.
type process struct {
	guard, main *exec.Cmd
	// hold is the writing end of the guard's pipe.
	hold *os.File
	// gone is closed when the binary and its guard have ended and all output was handed on.
	gone chan struct{}
	// said is the end of that output.
	said tail
}

// startProcess starts a binary with exactly the environment given. Output is handed to out by lines.
func startProcess(command []string, dir string, env []string, out *lineWriter) (*process, error) {
	p := &process{gone: make(chan struct{})}
	if err := p.startGuard(); err != nil {
		return nil, fmt.Errorf("start the guard: %w", err)
	}
	guarded := make(chan struct{})
	go func() {
		_ = p.guard.Wait()
		// Unguarded, the binary could outlive this process.
		p.kill()
		close(guarded)
	}()
	output, err := p.startMain(command, dir, env, out)
	if err != nil {
		p.kill()
		<-guarded
		_ = p.hold.Close()
		return nil, err
	}
	go func() {
		_ = p.main.Wait()
		p.kill()
		<-guarded
		_ = p.hold.Close()
		output.drain()
		close(p.gone)
	}()
	return p, nil
}

func (p *process) startGuard() error {
	watched, hold, err := os.Pipe()
	if err != nil {
		return err
	}
	defer watched.Close()
	p.hold = hold
	p.guard = exec.Command("/bin/sh", "-c", guardScript, "fcemu-guard")
	p.guard.Env = []string{}
	p.guard.ExtraFiles = []*os.File{watched}
	p.guard.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := p.guard.Start(); err != nil {
		_ = hold.Close()
		return err
	}
	return nil
}

// startMain starts the binary inside the guard's group: were this process killed just now, the group would be gone and the binary
// would fail to join it instead of being left alone.
func (p *process) startMain(command []string, dir string, env []string, out *lineWriter) (*output, error) {
	pipes, err := newOutput()
	if err != nil {
		return nil, err
	}
	p.main = exec.Command(command[0], command[1:]...)
	p.main.Dir, p.main.Env = dir, env
	p.main.Stdout, p.main.Stderr = pipes.writers[0], pipes.writers[1]
	p.main.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pgid: p.guard.Process.Pid}
	err = p.main.Start()
	pipes.start(out, &p.said)
	if err != nil {
		pipes.drain()
		return nil, err
	}
	return pipes, nil
}

func (p *process) pid() int { return p.main.Process.Pid }

// guardPID is the process group's id as well.
func (p *process) guardPID() int { return p.guard.Process.Pid }

// terminate asks the binary, and it alone, to end.
func (p *process) terminate() { _ = p.main.Process.Signal(syscall.SIGTERM) }

// kill ends the whole group at once.
func (p *process) kill() { _ = syscall.Kill(-p.guard.Process.Pid, syscall.SIGKILL) }

// exit describes how the binary ended, such as "exit status 2"; valid once gone is closed.
func (p *process) exit() string { return p.main.ProcessState.String() }

// output is the binary's stdout and stderr on their way to a lineWriter. Two pipes keep a long line of one from splitting a line
// of the other.
type output struct {
	readers, writers [2]*os.File
	copied           sync.WaitGroup
}

func newOutput() (*output, error) {
	o := &output{}
	for i := range o.readers {
		var err error
		if o.readers[i], o.writers[i], err = os.Pipe(); err != nil {
			o.closeAll()
			return nil, err
		}
	}
	return o, nil
}

// start begins copying. The writing ends are the binary's from now on.
func (o *output) start(out *lineWriter, said *tail) {
	for i, r := range o.readers {
		_ = o.writers[i].Close()
		o.copied.Go(func() { out.copy(r, said) })
	}
}

// drain waits until all output was copied, at most drainLimit.
func (o *output) drain() {
	for _, r := range o.readers {
		_ = r.SetReadDeadline(time.Now().Add(drainLimit))
	}
	o.copied.Wait()
	o.closeAll()
}

func (o *output) closeAll() {
	for i := range o.readers {
		// A nil *os.File answers Close with an error and nothing else.
		_, _ = o.readers[i].Close(), o.writers[i].Close()
	}
}
