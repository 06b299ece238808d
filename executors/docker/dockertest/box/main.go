// Command box is the only program of the image that tests run. It knows a few commands, each an argument with its own after it.
//
// Called echo, it writes its arguments, as that program does; called report, besides the variables FORMAT and TOKEN.
//
//	box say TEXT err TEXT cat env FILE write FILE TEXT mkdir DIRECTORY link TO FILE sleep SECONDS eat MEGABYTES deaf exit CODE
package main

import (
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func main() {
	switch filepath.Base(os.Args[0]) {
	case "echo":
		os.Stdout.WriteString(strings.Join(os.Args[1:], " ") + "\n")
		return
	case "report":
		os.Stdout.WriteString(strings.Join(append(os.Args[1:], os.Getenv("FORMAT"), os.Getenv("TOKEN")), " ") + "\n")
		return
	}
	for words := os.Args[1:]; len(words) > 0; {
		command := words[0]
		words = words[1:]
		next := func() string {
			word := words[0]
			words = words[1:]
			return word
		}
		switch command {
		case "say":
			os.Stdout.WriteString(next() + "\n")
		case "err":
			os.Stderr.WriteString(next() + "\n")
		case "cat":
			io.Copy(os.Stdout, os.Stdin)
		case "read":
			text, err := os.ReadFile(next())
			fail(err)
			os.Stdout.Write(text)
		case "write":
			fail(os.WriteFile(next(), []byte(next()), 0o644))
		case "mkdir":
			fail(os.MkdirAll(next(), 0o755))
		case "link":
			fail(os.Symlink(next(), next()))
		case "env":
			os.Stdout.WriteString(strings.Join(os.Environ(), "\n") + "\n")
		case "user":
			os.Stdout.WriteString(strconv.Itoa(os.Getuid()) + "\n")
		case "where":
			dir, err := os.Getwd()
			fail(err)
			os.Stdout.WriteString(dir + "\n")
		case "status": // of this process: capabilities, no_new_privs, limits
			text, err := os.ReadFile("/proc/self/status")
			fail(err)
			os.Stdout.Write(text)
		case "flood":
			n, _ := strconv.Atoi(next())
			line := strings.Repeat("x", 1023) + "\n"
			for range n {
				os.Stdout.WriteString(line)
			}
		case "eat":
			n, _ := strconv.Atoi(next())
			var held [][]byte
			for range n {
				b := make([]byte, 1<<20)
				for i := 0; i < len(b); i += 4096 {
					b[i] = 1
				}
				held = append(held, b)
			}
			os.Stdout.WriteString(strconv.Itoa(len(held)) + "\n")
		case "deaf": // to the stop signal
			signal.Ignore(syscall.SIGTERM)
		case "sleep":
			seconds, _ := strconv.ParseFloat(next(), 64)
			time.Sleep(time.Duration(seconds * float64(time.Second)))
		case "obey": // the stop signal, and tell
			heard := make(chan os.Signal, 1)
			signal.Notify(heard, syscall.SIGTERM)
			os.Stdout.WriteString("waiting\n")
			<-heard
			os.Stdout.WriteString("told to stop\n")
		case "exit":
			code, _ := strconv.Atoi(next())
			os.Exit(code)
		default:
			os.Stderr.WriteString("unknown command " + command + "\n")
			os.Exit(64)
		}
	}
}

func fail(err error) {
	if err != nil {
		os.Stderr.WriteString(err.Error() + "\n")
		os.Exit(1)
	}
}
