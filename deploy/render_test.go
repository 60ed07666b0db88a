package deploy_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
)

// expression is what s.yaml puts between ${ and }: the two kinds this project uses of those that Serverless Devs knows.
var expression = regexp.MustCompile(`\$\{([^}]*)\}`)

var envCall = regexp.MustCompile(`^env\('([^']*)'(?:, *'([^']*)')?\)$`)

// render reads a file of Serverless Devs as the tool does: first its vars, which read the environment, then all the rest.
// An environment variable without a default must be set, a var must exist.
func render(content []byte, environ map[string]string) (map[string]any, error) {
	var doc map[string]any
	if err := yaml.Unmarshal(content, &doc); err != nil {
		return nil, err
	}
	r := renderer{environ: environ, vars: map[string]string{}, numbers: map[string]any{}}
	vars, _ := doc["vars"].(map[string]any)
	raw := map[string]string{}
	for name, value := range vars {
		raw[name] = fmt.Sprint(value)
		if _, isText := value.(string); !isText {
			r.numbers["${vars."+name+"}"] = value
		}
	}
	// A var may name another one: as many rounds as there are vars settle every chain.
	for range raw {
		for name, text := range raw {
			if value, err := r.text(text); err == nil {
				r.vars[name] = value
			}
		}
	}
	out, err := r.value(doc)
	if err != nil {
		return nil, err
	}
	return out.(map[string]any), nil
}

type renderer struct {
	environ, vars map[string]string
	// numbers are the vars that are no texts, by the expression for them: alone, it stands for the value as it is.
	numbers map[string]any
}

func (r renderer) value(in any) (any, error) {
	switch in := in.(type) {
	case map[string]any:
		out := map[string]any{}
		for key, value := range in {
			rendered, err := r.value(value)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", key, err)
			}
			out[key] = rendered
		}
		return out, nil
	case []any:
		out := make([]any, 0, len(in))
		for i, value := range in {
			rendered, err := r.value(value)
			if err != nil {
				return nil, fmt.Errorf("%d: %w", i, err)
			}
			out = append(out, rendered)
		}
		return out, nil
	case string:
		if number, ok := r.numbers[in]; ok {
			return number, nil
		}
		return r.text(in)
	}
	return in, nil
}

func (r renderer) text(in string) (string, error) {
	var failed error
	out := expression.ReplaceAllStringFunc(in, func(found string) string {
		value, err := r.expression(expression.FindStringSubmatch(found)[1])
		if err != nil && failed == nil {
			failed = err
		}
		return value
	})
	return out, failed
}

func (r renderer) expression(in string) (string, error) {
	if name, ok := strings.CutPrefix(in, "vars."); ok {
		value, ok := r.vars[name]
		if !ok {
			return "", fmt.Errorf("there is no var %q that can be rendered", name)
		}
		return value, nil
	}
	call := envCall.FindStringSubmatch(in)
	if call == nil {
		return "", fmt.Errorf("cannot render ${%s}", in)
	}
	if value, ok := r.environ[call[1]]; ok {
		return value, nil
	}
	if !strings.Contains(in, ",") {
		return "", fmt.Errorf("environment variable %s is not set", call[1])
	}
	return call[2], nil
}

func TestRender(t *testing.T) {
	const file = "vars:\n  a: \"${env('A', 'x')}\"\n  b: ${vars.a}-${env('B')}\nkey:\n  - ${vars.b}!\n  - 7\n"
	t.Run("fills in vars and the environment", func(t *testing.T) {
		got, err := render([]byte(file), map[string]string{"B": "y"})
		if err != nil {
			t.Fatal(err)
		}
		want := map[string]any{"vars": map[string]any{"a": "x", "b": "x-y"}, "key": []any{"x-y!", uint64(7)}}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("rendered (-want +got):\n%s", diff)
		}
	})
	for _, test := range []struct{ name, file, want string }{
		{"wants a variable that has no default", "k: ${env('B')}", "k: environment variable B is not set"},
		{"wants a var that exists", "k: ${vars.c}", `k: there is no var "c" that can be rendered`},
		{"knows no other expression", "k: ${resources.x.props.y}", "k: cannot render ${resources.x.props.y}"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := render([]byte(test.file), nil)
			if err == nil || err.Error() != test.want {
				t.Errorf("error %v, want %s", err, test.want)
			}
		})
	}
	t.Run("refuses a key that is given twice", func(t *testing.T) {
		if _, err := render([]byte("k: 1\nk: 2\n"), nil); err == nil {
			t.Error("no error")
		}
	})
}
