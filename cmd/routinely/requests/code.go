package requests

import (
	"os"

	"routinely/shared/routine"
)

// LoadCode reads the files that requests name for their code, each once. A file that cannot be read, or holds no code, is a problem of its requests.
func LoadCode(items []Item) {
	read := map[string]*routine.Code{}
	problems := map[string]string{}
	for i := range items {
		item := &items[i]
		if item.CodeFile == "" || item.Invalid != nil {
			continue
		}
		if read[item.CodeFile] == nil && problems[item.CodeFile] == "" {
			source, err := os.ReadFile(item.CodeFile)
			switch detail := routine.CheckSource(source); {
			case err != nil:
				problems[item.CodeFile] = err.Error()
			case detail != "":
				problems[item.CodeFile] = "the code in " + item.CodeFile + " " + detail
			default:
				read[item.CodeFile] = routine.NewCode(source)
			}
		}
		if detail := problems[item.CodeFile]; detail != "" {
			item.Invalid = &routine.Invalid{Problems: []routine.Problem{{Pointer: "/codeFile", Code: "value", Detail: detail}}}
			continue
		}
		item.Request.Code = read[item.CodeFile]
	}
}
