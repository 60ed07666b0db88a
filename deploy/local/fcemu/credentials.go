package fcemu

import (
	"encoding/json"
	"errors"
	"net/http"
)

// Credentials are the temporary key of a function's role.
type Credentials struct {
	AccessKeyID     string `json:"accessKeyId"`
	AccessKeySecret string `json:"accessKeySecret"`
	SecurityToken   string `json:"securityToken"`
}

// SetCredentials gives a function's role another key, as FC does before the last one expires: coming events carry it, on warm instances
// too, whose environment keeps the key they were started with. It refuses an unknown function and half a key.
func (s *Server) SetCredentials(function string, c Credentials) error {
	f := s.functions[function]
	switch {
	case f == nil:
		return notFoundError(function)
	case c.AccessKeyID == "" || c.AccessKeySecret == "":
		return errors.New("access key id and secret are needed together")
	}
	f.credentials.Store(&c)
	return nil
}

func (s *Server) putCredentials(w http.ResponseWriter, r *http.Request) {
	var request struct {
		Function string `json:"function"`
		Credentials
	}
	err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20)).Decode(&request)
	if err == nil {
		err = s.SetCredentials(request.Function, request.Credentials)
	}
	if err != nil {
		writeJSON(w, http.StatusBadRequest, map[string]string{"error": err.Error()})
		return
	}
	w.WriteHeader(http.StatusNoContent)
}
