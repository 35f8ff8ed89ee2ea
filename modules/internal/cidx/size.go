package cidx

import "fmt"

// Size shows a number of bytes for reading: "8.4 GB", decimal as disks are sold.
func Size(bytes int64) string {
	units := []string{"bytes", "kB", "MB", "GB", "TB", "PB"}
	value, i := float64(bytes), 0
	for value >= 999.95 && i < len(units)-1 {
		value, i = value/1000, i+1
	}
	if i == 0 {
		return fmt.Sprintf("%d bytes", bytes)
	}
	return fmt.Sprintf("%.1f %s", value, units[i])
}
