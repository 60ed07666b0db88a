package routine

import (
	"fmt"
	"strings"
)

// CNAMENote says that host names get traffic only once somebody has made CNAME records for them: their sites are accessed by CNAME. It is empty
// without host names, and names a few of many.
func CNAMENote(recordNames []string) string {
	const most = 3
	switch over := len(recordNames) - most; {
	case len(recordNames) == 0:
		return ""
	case len(recordNames) == 1:
		return recordNames[0] + " gets traffic only once its owner has made a CNAME record for it: the ESA console shows the target."
	case over > 0:
		return fmt.Sprintf("%s and %d more get traffic only once their owners have made CNAME records for them: the ESA console shows the targets.",
			strings.Join(recordNames[:most], ", "), over)
	}
	return strings.Join(recordNames, ", ") + " get traffic only once their owners have made CNAME records for them: the ESA console shows the targets."
}
