// Command hello is the least that the Function Compute SDK runs: the floor for the start of a function.
package main

import "github.com/aliyun/fc-runtime-go-sdk/fc"

func main() {
	fc.Start(func() (string, error) { return "hello", nil })
}
