{
  "targets": [
    {
      "target_name": "colophon",
      "type": "none",
      "actions": [
        {
          "action_name": "cmake",
          "inputs": ["CMakeLists.txt"],
          "outputs": ["build/Release/colophon.node"],
          "action": ["node", "scripts/build.mjs", "--native"]
        }
      ]
    }
  ]
}
