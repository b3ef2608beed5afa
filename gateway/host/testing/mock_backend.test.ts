import { describeBackend } from '../../contract/conformance/backend.ts';
import { createMockBackend, type MockBackend } from './mock_backend.ts';
import { mockTokens } from './mock_text.ts';

for (const records of [false, true]) {
  let backend: MockBackend;
  describeBackend(records ? 'the mock that has tokens recorded' : 'the mock', {
    create: () => {
      backend = createMockBackend({ adapters: ['one', 'two'], records });
      return backend;
    },
    base: 'mock/base',
    adapters: ['one', 'two'],
    prompt: mockTokens('Once upon a time there was a backend that kept its word.'),
    running: () => backend.running,
    loadable: { name: 'three', path: '/adapters/three' },
    prefixCache: true,
    constrains: true,
    embeds: true,
  });
}
