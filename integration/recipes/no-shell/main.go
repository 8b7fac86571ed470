// Command hello is all there is in the test image without a shell: it says its arguments, or waits
// when told to.
package main

import (
	"fmt"
	"os"
	"time"
)

func main() {
	if len(os.Args) == 2 && os.Args[1] == "wait" {
		time.Sleep(time.Hour)
	}
	fmt.Println("hello", os.Args[1:])
}
