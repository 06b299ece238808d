package conceal

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// process wipes first: a process that can't be dumped may not open its own memory either.
func process() error {
	err := wipe()
	if err != nil {
		err = fmt.Errorf("wipe the initial environment: %w", err)
	}
	if dump := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); dump != nil {
		err = errors.Join(err, fmt.Errorf("close the memory to others: %w", dump))
	}
	return err
}

// wipe overwrites the environment that the kernel laid down at the start. The Go runtime made a copy before main.
func wipe() error {
	start, end, err := block()
	if err != nil || start == end {
		return err
	}
	zeros := make([]byte, end-start)
	local := []unix.Iovec{{Base: &zeros[0]}}
	local[0].SetLen(len(zeros))
	remote := []unix.RemoteIovec{{Base: start, Len: len(zeros)}}
	if n, err := unix.ProcessVMWritev(os.Getpid(), local, remote, 0); err == nil && n == len(zeros) {
		return nil
	}
	// Some containers forbid the call.
	memory, err := os.OpenFile("/proc/self/mem", os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer memory.Close()
	_, err = memory.WriteAt(zeros, int64(start))
	return err
}

// block is where the environment lies: fields 50 and 51 of /proc/PID/stat (proc(5)). The name before them, the second field, may
// contain anything, even parentheses.
func block() (start, end uintptr, err error) {
	text, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		return 0, 0, err
	}
	const third, envStart, envEnd = 3, 50, 51
	fields := bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:])
	if len(fields) <= envEnd-third {
		return 0, 0, errors.New("/proc/self/stat does not tell where it lies")
	}
	from, errFrom := strconv.ParseUint(string(fields[envStart-third]), 10, 64)
	to, errTo := strconv.ParseUint(string(fields[envEnd-third]), 10, 64)
	if err := errors.Join(errFrom, errTo); err != nil {
		return 0, 0, err
	}
	if from == 0 || to < from || to-from > 64<<20 { // the kernel allows some MiB
		return 0, 0, errors.New("/proc/self/stat does not tell where it lies")
	}
	return uintptr(from), uintptr(to), nil
}
