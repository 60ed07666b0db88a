package deploy_test

import (
	"fmt"
	"go/constant"
	"go/token"
	"go/types"
	"math"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

var wholeNumber = regexp.MustCompile(`\b\d+(\.\d+)?\b`)

// calculate returns the value of a calculation as the page about cost writes it.
func calculate(calculation string) (float64, error) {
	text := strings.NewReplacer("`", "", ",", "", "×", "*").Replace(calculation)
	// A quotient of whole numbers is a fraction here, and in Go a whole number.
	text = wholeNumber.ReplaceAllStringFunc(text, func(number string) string {
		if strings.Contains(number, ".") {
			return number
		}
		return number + ".0"
	})
	found, err := types.Eval(token.NewFileSet(), nil, token.NoPos, text)
	if err != nil {
		return 0, err
	}
	if found.Value == nil {
		return 0, fmt.Errorf("%q is no calculation", calculation)
	}
	value, _ := constant.Float64Val(found.Value)
	return value, nil
}

// wrongSums returns what is wrong in a table of calculations, whose last row is the sum.
func wrongSums(rows [][]string) []string {
	var out []string
	var sum float64
	for i, row := range rows {
		value, err := sum, error(nil)
		if i < len(rows)-1 {
			value, err = calculate(row[1])
			sum += value
		}
		shown, broken := strconv.ParseFloat(row[2], 64)
		if err != nil || broken != nil || math.Abs(value-shown) > 0.0051 {
			out = append(out, fmt.Sprintf("%s: %s is %.4f, not %s: %v", row[0], row[1], value, row[2], err))
		}
	}
	return out
}

func TestCostPage(t *testing.T) {
	for _, page := range []string{"docs/operations/cost.md", "docs/operations/cost.zh-CN.md"} {
		for _, table := range []string{"jobs", "month", "example"} {
			t.Run(page+" adds up the table "+table, func(t *testing.T) {
				for _, line := range wrongSums(tableIn(t, page, table)) {
					t.Error(line)
				}
			})
		}
	}
	text := string(read(t, "docs", "operations", "cost.md"))
	t.Run("has the sizes of s.yaml", func(t *testing.T) {
		doc, err := render(read(t, "s.yaml"), account)
		if err != nil {
			t.Fatal(err)
		}
		for resource, function := range map[string]string{"accept": "accept", "provisioner": "provision", "janitor": "janitor"} {
			props := at(doc, "resources", resource, "props")
			cpu, memory := number(at(props, "cpu")), number(at(props, "memorySize"))
			sizes := regexp.MustCompile(fmt.Sprintf("time of `%s`.*: %v vCPU, %v MB .*%v \\+ 0\\.15 × %v\\)", function, cpu, memory, cpu, memory/1024))
			if !sizes.MatchString(text) {
				t.Errorf("no line says that %s has %v vCPU and %v MB", function, cpu, memory)
			}
		}
	})
	t.Run("has the units of the figures", func(t *testing.T) {
		var units int
		for _, match := range regexp.MustCompile(`\d+ calls, (\d+) write units`).FindAllStringSubmatch(string(read(t, "docs", "reference", "figures.md")), -1) {
			count, _ := strconv.Atoi(match[1])
			units += count
		}
		if want := fmt.Sprintf("Tablestore, %d write units | `%d ×", units, units); !strings.Contains(text, want) {
			t.Errorf("the page does not say %q", want)
		}
	})
}

func TestCostChecksFail(t *testing.T) {
	rows := [][]string{{"a", "`3 / 2 × 1,000`", "1500.00"}, {"b", "`0.5 + 0.25`", "0.80"}, {"c", "`4 × x`", "4.00"}, {"together", "", "1500.75"}}
	if got := wrongSums(rows); len(got) != 2 || !strings.HasPrefix(got[0], "b: ") || !strings.HasPrefix(got[1], "c: ") {
		t.Errorf("%q", got)
	}
}
