package accept

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"sync"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// schemaFile names the file of the compiled schemas.
const schemaFile = "openapi.json"

// schemas are the contract's, by their references. Each is compiled once: kin-openapi does it for every value, which takes
// longer than whatever is tested.
type schemas struct {
	compiler *jsonschema.Compiler

	mu       sync.Mutex
	compiled map[string]*jsonschema.Schema
}

func newSchemas(doc *openapi3.T) (*schemas, error) {
	text, err := json.Marshal(map[string]any{"components": map[string]any{"schemas": doc.Components.Schemas}})
	if err != nil {
		return nil, err
	}
	file, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	s := &schemas{compiler: jsonschema.NewCompiler(), compiled: map[string]*jsonschema.Schema{}}
	s.compiler.DefaultDraft(jsonschema.Draft2020) // that of OpenAPI 3.1
	s.compiler.RegisterFormat(&jsonschema.Format{Name: "int64", Validate: isInt64})
	s.compiler.AssertFormat()
	return s, s.compiler.AddResource(schemaFile, file)
}

// isInt64 checks a number's format of OpenAPI.
func isInt64(value any) error {
	number, ok := value.(json.Number)
	if !ok {
		return nil
	}
	_, err := number.Int64()
	return err
}

// of returns the schema that a reference such as #/components/schemas/Job is to.
func (s *schemas) of(ref string) (*jsonschema.Schema, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if known := s.compiled[ref]; known != nil {
		return known, nil
	}
	if !strings.HasPrefix(ref, "#/components/schemas/") {
		return nil, fmt.Errorf("the schema %q has no name: give it one among the components", ref)
	}
	schema, err := s.compiler.Compile(schemaFile + ref)
	if err == nil {
		s.compiled[ref] = schema
	}
	return schema, err
}

// fit holds a JSON text to a schema.
func (s *schemas) fit(ref string, text []byte) error {
	schema, err := s.of(ref)
	if err != nil {
		return err
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return err
	}
	return schema.Validate(value)
}
