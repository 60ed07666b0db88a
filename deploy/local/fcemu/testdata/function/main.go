// Command function is a go1 function that does what its event or a test tells it.
//
// With GATE set it connects there for each event, shows the event and obeys the line it gets back. Otherwise an event
// {"do": …} says what to do, an HTTP event is answered with itself, and everything else is returned as it is.
package main

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"

	"github.com/aliyun/fc-runtime-go-sdk/fc"
	"github.com/aliyun/fc-runtime-go-sdk/fccontext"
)

func main() {
	if os.Getenv("IGNORE_TERM") != "" {
		term := make(chan os.Signal, 1)
		signal.Notify(term, syscall.SIGTERM)
		go func() {
			for range term {
				fmt.Println("SIGTERM ignored")
			}
		}()
	}
	if address := os.Getenv("LIFELINE"); address != "" {
		// Open as long as the process lives: the other end sees it close.
		conn, err := net.Dial("tcp", address)
		if err != nil {
			fmt.Println("lifeline:", err)
			os.Exit(3)
		}
		if len(os.Args) > 1 { // the child below
			signal.Ignore(syscall.SIGTERM)
			_, _ = io.Copy(io.Discard, conn)
			return
		}
	}
	if os.Getenv("CHILD") != "" {
		// A child that ignores its parent's end and holds its output open.
		child := exec.Command(os.Args[0], "child")
		child.Stdout = os.Stdout
		if err := child.Start(); err != nil {
			os.Exit(4)
		}
	}
	if os.Getenv("PRESTOP") != "" {
		fc.RegisterPreStopFunction(func(context.Context) { fmt.Println("hook: stopping") })
	}
	fc.Start(handle)
}

type order struct {
	Do      string `json:"do"`
	Version string `json:"version"`
	RawPath string `json:"rawPath"`
	Lines   int    `json:"lines"`
	Text    string `json:"text"`
}

type ownError struct{ text string }

func (e *ownError) Error() string { return e.text }

func handle(ctx context.Context, event []byte) (json.RawMessage, error) {
	if address := os.Getenv("GATE"); address != "" {
		return ask(ctx, address, event)
	}
	var o order
	if json.Unmarshal(event, &o) != nil {
		return event, nil
	}
	if o.Version == "v1" {
		return respond(o.RawPath, event)
	}
	return obey(ctx, o, event)
}

func obey(ctx context.Context, o order, event []byte) (json.RawMessage, error) {
	switch o.Do {
	case "error":
		return nil, &ownError{"it did not work"}
	case "panic":
		panic(errors.New("handler panics"))
	case "crash":
		go func() { panic("goroutine panics") }()
		select {}
	case "exit":
		os.Exit(7)
	case "print":
		for i := range o.Lines {
			fmt.Printf("%s %d %s\n", o.Text, i, strings.Repeat("x", 5000))
		}
	case "describe":
		return describe(ctx)
	}
	return event, nil
}

func describe(ctx context.Context) (json.RawMessage, error) {
	meta, _ := fccontext.FromContext(ctx)
	deadline, _ := ctx.Deadline()
	folder, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	return json.Marshal(map[string]any{"env": os.Environ(), "context": meta, "deadline": deadline.UnixMilli(), "folder": folder})
}

func respond(path string, event []byte) (json.RawMessage, error) {
	response := map[string]any{
		"statusCode": 201, "isBase64Encoded": false, "body": string(event),
		"headers": map[string]string{
			"Content-Type": "application/json", "X-Own": "<own>", "Connection": "close", "Content-Length": "1", "Server": "mine",
			"Date": "never", "Keep-Alive": "x", "X-Fc-Own": "x", "Content-Disposition": "attachment; filename=x",
		},
	}
	switch path {
	case "/binary":
		response["isBase64Encoded"], response["body"] = true, base64.StdEncoding.EncodeToString([]byte{0, 1, 0xff})
	case "/bad-base64":
		response["isBase64Encoded"], response["body"] = true, "%"
	case "/bad-status":
		response["statusCode"] = 42
	case "/bare":
		return json.RawMessage(`{"bare":true}`), nil
	case "/error":
		return nil, &ownError{"it did not work"}
	case "/exit":
		os.Exit(7)
	}
	return json.Marshal(response)
}

// ask shows the event to the test and does what it says: return JSON, error TEXT, panic TEXT, exit.
func ask(ctx context.Context, address string, event []byte) (json.RawMessage, error) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	meta, _ := fccontext.FromContext(ctx)
	if err := json.NewEncoder(conn).Encode(map[string]any{
		"pid": os.Getpid(), "event": string(event), "requestId": meta.RequestID, "retry": meta.RetryCount,
	}); err != nil {
		return nil, err
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		return nil, err
	}
	verb, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
	switch verb {
	case "return":
		return json.RawMessage(rest), nil
	case "panic":
		panic(rest)
	case "exit":
		os.Exit(7)
	}
	return nil, errors.New(rest)
}
