package systeminfo

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// cpu reads /proc/cpuinfo (proc(5)).
func cpu() (facts, error) {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return nil, fmt.Errorf("read cpu: %w", err)
	}
	brand, cores := parseCPU(text)
	return facts{"system": systemName(), "brand": brand, "cores": cores}, nil
}

// parseCPU finds the processor's name and counts cores: pairs of package and core where these are told (x86), else the
// processors. ARM has no model name; its implementer and part numbers would mean nothing to a reader.
func parseCPU(text []byte) (brand string, cores int) {
	brand = runtime.GOARCH
	pairs, processors, socket := map[string]bool{}, 0, ""
	for line := range strings.Lines(string(text)) {
		key, value, _ := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		switch strings.TrimSpace(key) {
		case "processor":
			processors++
		case "model name":
			brand = value
		case "physical id":
			socket = value
		case "core id":
			pairs[socket+"/"+value] = true
		}
	}
	switch {
	case len(pairs) > 0:
		return brand, len(pairs)
	case processors > 0:
		return brand, processors
	}
	return brand, runtime.NumCPU()
}

// memory reads /proc/meminfo and writes the total as free -h does: "23Gi".
func memory() (facts, error) {
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return nil, fmt.Errorf("read memory: %w", err)
	}
	_, rest, _ := bytes.Cut(text, []byte("MemTotal:"))
	fields := strings.Fields(string(rest))
	if len(fields) == 0 {
		return nil, fmt.Errorf("read memory: /proc/meminfo names no total")
	}
	kib, err := strconv.ParseUint(fields[0], 10, 64)
	if err != nil {
		return nil, fmt.Errorf("read memory: %w", err)
	}
	return facts{"total": size(kib*1024, math.Floor) + "i", "system": systemName()}, nil
}

// disk is that of the root directory, as df -h writes it.
func disk() (facts, error) {
	var st unix.Statfs_t
	if err := unix.Statfs("/", &st); err != nil {
		return nil, fmt.Errorf("read disk: %w", err)
	}
	block := uint64(st.Frsize)
	used := st.Blocks - st.Bfree
	percent := "0%"
	if usable := used + st.Bavail; usable > 0 {
		percent = strconv.FormatUint((used*100+usable-1)/usable, 10) + "%"
	}
	return facts{
		"total": size(st.Blocks*block, math.Ceil), "used": size(used*block, math.Ceil),
		"available": size(st.Bavail*block, math.Ceil), "used_percent": percent, "system": systemName(),
	}, nil
}
