package systeminfo

import (
	"fmt"
	"math"
	"strconv"

	"golang.org/x/sys/unix"
)

func cpu() (facts, error) {
	brand, err := unix.Sysctl("machdep.cpu.brand_string")
	if err != nil {
		return nil, fmt.Errorf("read cpu: %w", err)
	}
	cores, err := unix.SysctlUint32("hw.physicalcpu")
	if err != nil {
		return nil, fmt.Errorf("read cpu: %w", err)
	}
	threads, err := unix.SysctlUint32("hw.logicalcpu")
	if err != nil {
		return nil, fmt.Errorf("read cpu: %w", err)
	}
	return facts{"system": systemName(), "brand": brand, "cores": int(cores), "threads": int(threads)}, nil
}

func memory() (facts, error) {
	bytes, err := unix.SysctlUint64("hw.memsize")
	if err != nil {
		return nil, fmt.Errorf("read memory: %w", err)
	}
	return facts{"total_gb": math.Round(float64(bytes)/(1<<30)*100) / 100, "system": systemName()}, nil
}

// disk is that of the root directory, as df -h writes it.
func disk() (facts, error) {
	var st unix.Statfs_t
	if err := unix.Statfs("/", &st); err != nil {
		return nil, fmt.Errorf("read disk: %w", err)
	}
	block := uint64(st.Bsize)
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
