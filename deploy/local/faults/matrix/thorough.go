//go:build !race

package matrix

// thorough tests break every call in every way.
const thorough = true
