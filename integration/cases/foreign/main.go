// Command foreign says for which architecture it is built and by which name it was started; or it writes that to a
// file.
package main

import (
	"fmt"
	"os"
	"runtime"
)

func main() {
	text := fmt.Sprintf("%s as %s\n", runtime.GOARCH, os.Args[0])
	if len(os.Args) < 2 {
		fmt.Print(text)
	} else if err := os.WriteFile(os.Args[1], []byte(text), 0o644); err != nil {
		panic(err)
	}
}
