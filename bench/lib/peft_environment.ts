import { PythonEnvironment } from './python_environment.ts';

/** PEFT and torch, whose adapters and pace stand beside ours, and Kronfluence for its influence. Of its own: torch takes 5 GB. */
export const peftEnvironment = new PythonEnvironment('peft-env', [
  'torch==2.13.0',
  'transformers==5.19.0',
  'peft==0.21.2',
  'accelerate==1.15.0',
  'gguf==0.19.0',
  'kronfluence==1.0.1',
  'safetensors==0.8.0',
]);
