package artifact

import (
	"bytes"
	"context"
	"sync"
)

// Memory is a store in memory, for tests and for what ends with its process.
type Memory struct {
	Most int64 // bytes; 0: any number

	mu     sync.Mutex
	blocks map[ID]map[int][]byte
	used   int64
}

// Put implements [Store].
func (m *Memory) Put(_ context.Context, id ID, index int, data []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if is, ok := m.blocks[id][index]; ok {
		if !bytes.Equal(is, data) {
			return ErrChanged
		}
		return nil
	}
	if m.Most > 0 && m.used+int64(len(data)) > m.Most {
		return ErrFull
	}
	if m.blocks == nil {
		m.blocks = map[ID]map[int][]byte{}
	}
	if m.blocks[id] == nil {
		m.blocks[id] = map[int][]byte{}
	}
	m.blocks[id][index] = bytes.Clone(data)
	m.used += int64(len(data))
	return nil
}

// Get implements [Store].
func (m *Memory) Get(_ context.Context, id ID, index int) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	data, ok := m.blocks[id][index]
	if !ok {
		return nil, ErrNotFound
	}
	return bytes.Clone(data), nil
}

// Drop implements [Store].
func (m *Memory) Drop(_ context.Context, id ID, _ int) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, data := range m.blocks[id] {
		m.used -= int64(len(data))
	}
	delete(m.blocks, id)
	return nil
}

// Usage implements [Store].
func (m *Memory) Usage(context.Context) (used, most int64, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.used, m.Most, nil
}

// Contents is how many contents are stored.
func (m *Memory) Contents() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.blocks)
}
