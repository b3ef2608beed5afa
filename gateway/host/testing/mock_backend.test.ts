import { describeBackend } from '../../contract/conformance/backend.ts';
import { createMockBackend, type MockBackend } from './mock_backend.ts';
import { mockTokens } from './mock_text.ts';

let backend: MockBackend;

describeBackend('the mock', {
  create: () => {
    backend = createMockBackend({ adapters: ['one', 'two'] });
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
