package s3

// PageOf makes lists come in pages of n keys, so that a test needs no thousands of objects.
func (s *Store) PageOf(n int32) { s.page = n }
