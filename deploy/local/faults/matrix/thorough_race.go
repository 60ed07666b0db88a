//go:build race

package matrix

// thorough is false, since the race detector makes everything several times slower and looks for something else.
const thorough = false
