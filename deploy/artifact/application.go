package artifact

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"strings"
)

// applicationFolder holds what the application of Serverless Devs has beside s.yaml and the functions.
const applicationFolder = "deploy/application"

// Application returns the files of the application of Serverless Devs, from which `s init` makes a project: what lies in deploy/application,
// s.yaml with parameters in place of what the environment says, and the functions, packed, in src/code. module is the root of the
// module. The version is one such as v0.2.0.
func Application(module fs.FS, version string, functions []File) ([]File, error) {
	var out []File
	for _, one := range []struct{ from, to string }{
		{"publish.yaml", "publish.yaml"},
		{"version.md", "version.md"},
		{"hook/index.js", "hook/index.js"},
		{"readme.md", "readme.md"},
		{"readme.zh-CN.md", "readme.zh-CN.md"},
		// The project has them, too.
		{"readme.md", "src/readme.md"},
		{"readme.zh-CN.md", "src/readme.zh-CN.md"},
		{"settings.env.stpl", "src/settings.env.stpl"},
	} {
		content, err := fs.ReadFile(module, applicationFolder+"/"+one.from)
		if err != nil {
			return nil, err
		}
		if one.to == "publish.yaml" {
			content = bytes.Replace(content, []byte("\nVersion: 0.0.0\n"), []byte("\nVersion: "+strings.TrimPrefix(version, "v")+"\n"), 1)
		}
		out = append(out, File{one.to, 0o644, content})
	}
	content, err := fs.ReadFile(module, "s.yaml")
	if err != nil {
		return nil, err
	}
	template, err := projectTemplate(string(content))
	if err != nil {
		return nil, fmt.Errorf("s.yaml: %w", err)
	}
	out = append(out, File{"src/s.yaml", 0o644, []byte(template)})
	for _, f := range functions {
		out = append(out, File{"src/code/" + f.Name, 0o644, f.Content})
	}
	return out, nil
}

var (
	// heading is the comment at the beginning, which speaks of this repository.
	heading = regexp.MustCompile(`^(#.*\n)+`)
	// builds is how a function is built before it is deployed; the application holds it packed.
	builds = regexp.MustCompile(`    actions:\n      pre-deploy:\n        - run: go run \./deploy/pack .*\n          path: \./\n`)
	// folders are what is uploaded.
	folders = regexp.MustCompile(`code: \./dist/([a-z]+)`)
)

// projectTemplate makes the template of a project out of s.yaml. What a project has once and for all is a parameter, so that no variable of a
// shell leads to the names of another project. The rest, the secrets among it, still comes from the environment.
func projectTemplate(file string) (string, error) {
	functions := len(Functions())
	if n := len(builds.FindAllString(file, -1)); n != functions {
		return "", fmt.Errorf("%d functions are built, want %d", n, functions)
	}
	if n := len(folders.FindAllString(file, -1)); n != functions {
		return "", fmt.Errorf("%d functions are uploaded, want %d", n, functions)
	}
	file = heading.ReplaceAllString(file, "# Routinely on Function Compute 3.0: `s deploy -y`, once readme.md has been followed. Made from s.yaml of the repository.\n")
	file = builds.ReplaceAllString(file, "")
	file = folders.ReplaceAllString(file, "code: ./code/$1.zip")
	for _, one := range [][2]string{
		{`access: default`, `access: "{{ access }}"`},
		{`"${env('ROUTINELY_REGION', 'cn-hangzhou')}"`, `"{{ region }}"`},
		{`"${env('ROUTINELY_ACCOUNT_ID')}"`, `"{{ accountId }}"`},
		{`"${env('ROUTINELY_PREFIX', 'routinely')}"`, `"{{ prefix }}"`},
		{`"${env('ROUTINELY_ESA_ENDPOINT', 'esa.cn-hangzhou.aliyuncs.com')}"`, `"{{ esaEndpoint }}"`},
		{`"${env('ROUTINELY_TABLESTORE_INSTANCE')}"`, `"{{ tablestoreInstance }}"`},
		{`"${env('ROUTINELY_DELETE')}"`, `"{{ deletion }}"`},
	} {
		if strings.Count(file, one[0]) != 1 {
			return "", errors.New("it does not have once: " + one[0])
		}
		file = strings.Replace(file, one[0], one[1], 1)
	}
	return file, nil
}
