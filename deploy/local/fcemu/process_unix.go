//go:build unix

package fcemu

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// guardScript runs beside each function binary and leads their common process group. Its descriptor 3 is a pipe that only this
// process can write to and never does: the read returns when the pipe closes, which the kernel does even if this process is
// killed, and then the group ends. Without it a binary whose Runtime API is gone would ask for it for ever.
const guardScript = `read -r line <&3; kill -KILL 0`

// drainLimit is how long a dead binary's output is waited for. Only something that it started can still hold it open.
const drainLimit = time.Second

// process is a function binary with its guard and whatever it started itself.
type process struct {
	guard, main *exec.Cmd
	output      *output
	// gone is closed when the binary and its guard have ended and all output was handed on.
	gone chan struct{}
}

// startProcess starts a binary with exactly the environment given. It joins the guard's group as it starts: were this process killed
// just now, the group would be gone and the binary could not start, instead of being left alone.
func startProcess(command []string, dir string, env []string, to *printer) (*process, error) {
	watched, hold, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("start the guard: %w", err)
	}
	p := &process{
		guard: exec.Command("/bin/sh", "-c", guardScript, "fcemu-guard"), main: exec.Command(command[0], command[1:]...),
		output: &output{printer: to}, gone: make(chan struct{}),
	}
	p.guard.Env, p.guard.ExtraFiles = []string{}, []*os.File{watched}
	p.guard.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	err = p.guard.Start()
	_ = watched.Close()
	if err != nil {
		_ = hold.Close()
		return nil, fmt.Errorf("start the guard: %w", err)
	}
	stdout, stderr := &stream{output: p.output}, &stream{output: p.output}
	p.main.Dir, p.main.Env, p.main.Stdout, p.main.Stderr, p.main.WaitDelay = dir, env, stdout, stderr, drainLimit
	p.main.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pgid: p.guard.Process.Pid}
	if err := p.main.Start(); err != nil {
		_ = hold.Close()
		_ = p.guard.Wait()
		return nil, err
	}
	guarded := make(chan struct{})
	go func() {
		_ = p.guard.Wait()
		p.kill() // unguarded, the binary could outlive this process
		close(guarded)
	}()
	go func() {
		_ = p.main.Wait()
		_ = hold.Close()
		<-guarded
		stdout.flush()
		stderr.flush()
		close(p.gone)
	}()
	return p, nil
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
