BEGIN TRANSACTION;
CREATE TABLE answers (
  explanation TEXT NOT NULL,
  scorer TEXT NOT NULL,
  position INTEGER NOT NULL,
  asked TEXT NOT NULL,
  n INTEGER NOT NULL,
  probability REAL,
  failure TEXT,
  reason TEXT NOT NULL,
  PRIMARY KEY (explanation, scorer, position),
  FOREIGN KEY (explanation, scorer, n) REFERENCES questions (explanation, scorer, n) ON DELETE CASCADE,
  CHECK ((probability IS NULL) <> (failure IS NULL))
) WITHOUT ROWID
;
INSERT INTO "answers" VALUES('b2:15ffccaef56b09c51dc21eab9fa5935e','detection',0,'b2:15ffccaef56b09c51dc21eab9fa5935e',0,0.0,NULL,'');
INSERT INTO "answers" VALUES('b2:15ffccaef56b09c51dc21eab9fa5935e','detection',1,'b2:15ffccaef56b09c51dc21eab9fa5935e',1,0.0,NULL,'');
INSERT INTO "answers" VALUES('b2:15ffccaef56b09c51dc21eab9fa5935e','detection',2,'b2:15ffccaef56b09c51dc21eab9fa5935e',2,0.0,NULL,'');
INSERT INTO "answers" VALUES('b2:15ffccaef56b09c51dc21eab9fa5935e','detection',3,'b2:15ffccaef56b09c51dc21eab9fa5935e',3,0.0,NULL,'');
INSERT INTO "answers" VALUES('b2:15ffccaef56b09c51dc21eab9fa5935e','detection',4,'b2:15ffccaef56b09c51dc21eab9fa5935e',4,0.0,NULL,'');
INSERT INTO "answers" VALUES('b2:15ffccaef56b09c51dc21eab9fa5935e','detection',5,'b2:15ffccaef56b09c51dc21eab9fa5935e',5,0.0,NULL,'');
INSERT INTO "answers" VALUES('b2:15ffccaef56b09c51dc21eab9fa5935e','detection',6,'b2:15ffccaef56b09c51dc21eab9fa5935e',6,0.0,NULL,'');
INSERT INTO "answers" VALUES('b2:15ffccaef56b09c51dc21eab9fa5935e','detection',7,'b2:15ffccaef56b09c51dc21eab9fa5935e',7,0.0,NULL,'');
INSERT INTO "answers" VALUES('b2:15ffccaef56b09c51dc21eab9fa5935e','detection',8,'b2:91237a8da60c545d64a3d795be7699f2',0,0.0,NULL,'');
INSERT INTO "answers" VALUES('b2:15ffccaef56b09c51dc21eab9fa5935e','detection',9,'b2:91237a8da60c545d64a3d795be7699f2',1,0.0,NULL,'');
INSERT INTO "answers" VALUES('b2:15ffccaef56b09c51dc21eab9fa5935e','detection',10,'b2:91237a8da60c545d64a3d795be7699f2',2,0.0,NULL,'');
INSERT INTO "answers" VALUES('b2:15ffccaef56b09c51dc21eab9fa5935e','detection',11,'b2:91237a8da60c545d64a3d795be7699f2',3,0.0,NULL,'');
INSERT INTO "answers" VALUES('b2:15ffccaef56b09c51dc21eab9fa5935e','detection',12,'b2:91237a8da60c545d64a3d795be7699f2',4,0.0,NULL,'');
INSERT INTO "answers" VALUES('b2:15ffccaef56b09c51dc21eab9fa5935e','detection',13,'b2:91237a8da60c545d64a3d795be7699f2',5,0.0,NULL,'');
INSERT INTO "answers" VALUES('b2:15ffccaef56b09c51dc21eab9fa5935e','detection',14,'b2:91237a8da60c545d64a3d795be7699f2',6,0.0,NULL,'');
INSERT INTO "answers" VALUES('b2:15ffccaef56b09c51dc21eab9fa5935e','detection',15,'b2:91237a8da60c545d64a3d795be7699f2',7,0.0,NULL,'');
INSERT INTO "answers" VALUES('b2:15ffccaef56b09c51dc21eab9fa5935e','fuzzing',0,'b2:15ffccaef56b09c51dc21eab9fa5935e',0,0.0,NULL,'');
INSERT INTO "answers" VALUES('b2:15ffccaef56b09c51dc21eab9fa5935e','fuzzing',1,'b2:15ffccaef56b09c51dc21eab9fa5935e',1,0.0,NULL,'');
INSERT INTO "answers" VALUES('b2:15ffccaef56b09c51dc21eab9fa5935e','fuzzing',2,'b2:15ffccaef56b09c51dc21eab9fa5935e',2,0.0,NULL,'');
INSERT INTO "answers" VALUES('b2:15ffccaef56b09c51dc21eab9fa5935e','fuzzing',3,'b2:15ffccaef56b09c51dc21eab9fa5935e',3,0.0,NULL,'');
INSERT INTO "answers" VALUES('b2:15ffccaef56b09c51dc21eab9fa5935e','fuzzing',4,'b2:15ffccaef56b09c51dc21eab9fa5935e',4,0.0,NULL,'');
INSERT INTO "answers" VALUES('b2:15ffccaef56b09c51dc21eab9fa5935e','fuzzing',5,'b2:15ffccaef56b09c51dc21eab9fa5935e',5,0.0,NULL,'');
INSERT INTO "answers" VALUES('b2:15ffccaef56b09c51dc21eab9fa5935e','fuzzing',6,'b2:15ffccaef56b09c51dc21eab9fa5935e',6,0.0,NULL,'');
INSERT INTO "answers" VALUES('b2:15ffccaef56b09c51dc21eab9fa5935e','fuzzing',7,'b2:15ffccaef56b09c51dc21eab9fa5935e',7,0.0,NULL,'');
INSERT INTO "answers" VALUES('b2:15ffccaef56b09c51dc21eab9fa5935e','fuzzing',8,'b2:91237a8da60c545d64a3d795be7699f2',0,0.0,NULL,'');
INSERT INTO "answers" VALUES('b2:15ffccaef56b09c51dc21eab9fa5935e','fuzzing',9,'b2:91237a8da60c545d64a3d795be7699f2',1,0.0,NULL,'');
INSERT INTO "answers" VALUES('b2:15ffccaef56b09c51dc21eab9fa5935e','fuzzing',10,'b2:91237a8da60c545d64a3d795be7699f2',2,0.0,NULL,'');
INSERT INTO "answers" VALUES('b2:15ffccaef56b09c51dc21eab9fa5935e','fuzzing',11,'b2:91237a8da60c545d64a3d795be7699f2',3,0.0,NULL,'');
INSERT INTO "answers" VALUES('b2:15ffccaef56b09c51dc21eab9fa5935e','fuzzing',12,'b2:91237a8da60c545d64a3d795be7699f2',4,0.0,NULL,'');
INSERT INTO "answers" VALUES('b2:15ffccaef56b09c51dc21eab9fa5935e','fuzzing',13,'b2:91237a8da60c545d64a3d795be7699f2',5,0.0,NULL,'');
INSERT INTO "answers" VALUES('b2:15ffccaef56b09c51dc21eab9fa5935e','fuzzing',14,'b2:91237a8da60c545d64a3d795be7699f2',6,0.0,NULL,'');
INSERT INTO "answers" VALUES('b2:15ffccaef56b09c51dc21eab9fa5935e','fuzzing',15,'b2:91237a8da60c545d64a3d795be7699f2',7,0.0,NULL,'');
INSERT INTO "answers" VALUES('b2:91237a8da60c545d64a3d795be7699f2','detection',0,'b2:91237a8da60c545d64a3d795be7699f2',0,0.0,NULL,'');
INSERT INTO "answers" VALUES('b2:91237a8da60c545d64a3d795be7699f2','detection',1,'b2:91237a8da60c545d64a3d795be7699f2',1,0.0,NULL,'');
INSERT INTO "answers" VALUES('b2:91237a8da60c545d64a3d795be7699f2','detection',2,'b2:91237a8da60c545d64a3d795be7699f2',2,0.0,NULL,'');
INSERT INTO "answers" VALUES('b2:91237a8da60c545d64a3d795be7699f2','detection',3,'b2:91237a8da60c545d64a3d795be7699f2',3,0.0,NULL,'');
INSERT INTO "answers" VALUES('b2:91237a8da60c545d64a3d795be7699f2','detection',4,'b2:91237a8da60c545d64a3d795be7699f2',4,0.0,NULL,'');
INSERT INTO "answers" VALUES('b2:91237a8da60c545d64a3d795be7699f2','detection',5,'b2:91237a8da60c545d64a3d795be7699f2',5,0.0,NULL,'');
INSERT INTO "answers" VALUES('b2:91237a8da60c545d64a3d795be7699f2','detection',6,'b2:91237a8da60c545d64a3d795be7699f2',6,0.0,NULL,'');
INSERT INTO "answers" VALUES('b2:91237a8da60c545d64a3d795be7699f2','detection',7,'b2:91237a8da60c545d64a3d795be7699f2',7,0.0,NULL,'');
INSERT INTO "answers" VALUES('b2:91237a8da60c545d64a3d795be7699f2','detection',8,'b2:15ffccaef56b09c51dc21eab9fa5935e',0,0.0,NULL,'');
INSERT INTO "answers" VALUES('b2:91237a8da60c545d64a3d795be7699f2','detection',9,'b2:15ffccaef56b09c51dc21eab9fa5935e',1,0.0,NULL,'');
INSERT INTO "answers" VALUES('b2:91237a8da60c545d64a3d795be7699f2','detection',10,'b2:15ffccaef56b09c51dc21eab9fa5935e',2,0.0,NULL,'');
INSERT INTO "answers" VALUES('b2:91237a8da60c545d64a3d795be7699f2','detection',11,'b2:15ffccaef56b09c51dc21eab9fa5935e',3,0.0,NULL,'');
INSERT INTO "answers" VALUES('b2:91237a8da60c545d64a3d795be7699f2','detection',12,'b2:15ffccaef56b09c51dc21eab9fa5935e',4,0.0,NULL,'');
INSERT INTO "answers" VALUES('b2:91237a8da60c545d64a3d795be7699f2','detection',13,'b2:15ffccaef56b09c51dc21eab9fa5935e',5,0.0,NULL,'');
INSERT INTO "answers" VALUES('b2:91237a8da60c545d64a3d795be7699f2','detection',14,'b2:15ffccaef56b09c51dc21eab9fa5935e',6,0.0,NULL,'');
INSERT INTO "answers" VALUES('b2:91237a8da60c545d64a3d795be7699f2','detection',15,'b2:15ffccaef56b09c51dc21eab9fa5935e',7,0.0,NULL,'');
INSERT INTO "answers" VALUES('b2:91237a8da60c545d64a3d795be7699f2','fuzzing',0,'b2:91237a8da60c545d64a3d795be7699f2',0,0.0,NULL,'');
INSERT INTO "answers" VALUES('b2:91237a8da60c545d64a3d795be7699f2','fuzzing',1,'b2:91237a8da60c545d64a3d795be7699f2',1,0.0,NULL,'');
INSERT INTO "answers" VALUES('b2:91237a8da60c545d64a3d795be7699f2','fuzzing',2,'b2:91237a8da60c545d64a3d795be7699f2',2,0.0,NULL,'');
INSERT INTO "answers" VALUES('b2:91237a8da60c545d64a3d795be7699f2','fuzzing',3,'b2:91237a8da60c545d64a3d795be7699f2',3,0.0,NULL,'');
INSERT INTO "answers" VALUES('b2:91237a8da60c545d64a3d795be7699f2','fuzzing',4,'b2:91237a8da60c545d64a3d795be7699f2',4,0.0,NULL,'');
INSERT INTO "answers" VALUES('b2:91237a8da60c545d64a3d795be7699f2','fuzzing',5,'b2:91237a8da60c545d64a3d795be7699f2',5,0.0,NULL,'');
INSERT INTO "answers" VALUES('b2:91237a8da60c545d64a3d795be7699f2','fuzzing',6,'b2:91237a8da60c545d64a3d795be7699f2',6,0.0,NULL,'');
INSERT INTO "answers" VALUES('b2:91237a8da60c545d64a3d795be7699f2','fuzzing',7,'b2:91237a8da60c545d64a3d795be7699f2',7,0.0,NULL,'');
INSERT INTO "answers" VALUES('b2:91237a8da60c545d64a3d795be7699f2','fuzzing',8,'b2:15ffccaef56b09c51dc21eab9fa5935e',0,0.0,NULL,'');
INSERT INTO "answers" VALUES('b2:91237a8da60c545d64a3d795be7699f2','fuzzing',9,'b2:15ffccaef56b09c51dc21eab9fa5935e',1,0.0,NULL,'');
INSERT INTO "answers" VALUES('b2:91237a8da60c545d64a3d795be7699f2','fuzzing',10,'b2:15ffccaef56b09c51dc21eab9fa5935e',2,0.0,NULL,'');
INSERT INTO "answers" VALUES('b2:91237a8da60c545d64a3d795be7699f2','fuzzing',11,'b2:15ffccaef56b09c51dc21eab9fa5935e',3,0.0,NULL,'');
INSERT INTO "answers" VALUES('b2:91237a8da60c545d64a3d795be7699f2','fuzzing',12,'b2:15ffccaef56b09c51dc21eab9fa5935e',4,0.0,NULL,'');
INSERT INTO "answers" VALUES('b2:91237a8da60c545d64a3d795be7699f2','fuzzing',13,'b2:15ffccaef56b09c51dc21eab9fa5935e',5,0.0,NULL,'');
INSERT INTO "answers" VALUES('b2:91237a8da60c545d64a3d795be7699f2','fuzzing',14,'b2:15ffccaef56b09c51dc21eab9fa5935e',6,0.0,NULL,'');
INSERT INTO "answers" VALUES('b2:91237a8da60c545d64a3d795be7699f2','fuzzing',15,'b2:15ffccaef56b09c51dc21eab9fa5935e',7,0.0,NULL,'');
CREATE TABLE explanations (
  id TEXT PRIMARY KEY,
  method TEXT NOT NULL REFERENCES methods (id),
  unit TEXT NOT NULL REFERENCES units (id),
  rank INTEGER NOT NULL,
  text TEXT NOT NULL,
  validation REAL,
  provenance TEXT NOT NULL
) WITHOUT ROWID;
INSERT INTO "explanations" VALUES('b2:15ffccaef56b09c51dc21eab9fa5935e','llm-9341ec31','tiny-llama/model.layers.1.mlp.down_proj.input/neurons/14-',0,'the words l, a, c',NULL,'{"explainer":"llm:scripted:rules.jsonl","place":0,"seed":3722117247042192482,"validated_on":0}');
INSERT INTO "explanations" VALUES('b2:91237a8da60c545d64a3d795be7699f2','llm-9341ec31','tiny-llama/model.layers.1.mlp.down_proj.input/neurons/18',0,'the words v, ee, c',NULL,'{"explainer":"llm:scripted:rules.jsonl","place":0,"seed":17601235833067815,"validated_on":0}');
CREATE TABLE labels (
  method TEXT NOT NULL REFERENCES methods (id),
  unit TEXT NOT NULL REFERENCES units (id),
  state TEXT NOT NULL,
  reason TEXT NOT NULL,
  attempts INTEGER NOT NULL,
  explanation TEXT REFERENCES explanations (id) DEFERRABLE INITIALLY DEFERRED,
  changed_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
  PRIMARY KEY (method, unit)
) WITHOUT ROWID;
INSERT INTO "labels" VALUES('llm-9341ec31','tiny-llama/model.layers.1.mlp.down_proj.input/neurons/14-','rejected','',0,'b2:15ffccaef56b09c51dc21eab9fa5935e','2026-11-21T18:33:24.715Z');
INSERT INTO "labels" VALUES('llm-9341ec31','tiny-llama/model.layers.1.mlp.down_proj.input/neurons/18','rejected','',0,'b2:91237a8da60c545d64a3d795be7699f2','2026-11-21T18:33:24.721Z');
CREATE TABLE methods (
  position INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  settings TEXT NOT NULL
);
INSERT INTO "methods" VALUES(1,'llm-9341ec31','{"alpha":0.05,"collected":{"corpus":{"documents":47,"total":10288255536630859447},"settings":{"active_quantile":0.95,"calibration_contexts":256,"context_chars":64,"corpus":"demo","dictionary":"neurons","hookpoints":["model.layers.1.mlp.down_proj.input"],"seed":0,"shard_tokens":8192,"subject":"tiny-llama","tokens":30000,"top":16,"uniform":64},"subject":{"bos":0,"fingerprint":"b2:c79470273bcb9c8e1ba383a9af7c0d8d","name":"tiny-llama"}},"explainer":{"examples":20,"max_tokens":160,"model":"scripted:rules.jsonl","n":3,"prompt":"b2:4565d04249896f0578cfe99e53aaeb9a","temperature":0.7},"floors":1,"judge":{"model":"scripted:rules.jsonl","per_prompt":5,"prompts":{"detection":"b2:334aa5189a6f38b7cf559f891311111e","fuzzing":"b2:9d0a465a915f66193d6bd6f298f7ae33","intervention":"b2:0b56b6c427f4f5196cbfa3ba5ebf591a"},"seed":0},"kl":1.0,"min_active":10,"prompts":12,"questions":8,"scorers":[{"n_questions":8,"name":"detection","needs_subject":false,"task":"detection"},{"n_questions":8,"name":"fuzzing","needs_subject":false,"negatives":"silent","task":"fuzzing"}],"seed":0}');
CREATE TABLE migrations (name TEXT PRIMARY KEY, applied_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')));
INSERT INTO "migrations" VALUES('0001_initial','2026-11-21T18:33:21.832Z');
CREATE TABLE questions (
  explanation TEXT NOT NULL REFERENCES explanations (id) ON DELETE CASCADE,
  scorer TEXT NOT NULL,
  n INTEGER NOT NULL,
  truth INTEGER NOT NULL CHECK (truth IN (0, 1)),
  stratum TEXT NOT NULL,
  passages TEXT NOT NULL,
  PRIMARY KEY (explanation, scorer, n)
) WITHOUT ROWID;
INSERT INTO "questions" VALUES('b2:15ffccaef56b09c51dc21eab9fa5935e','detection',0,1,'1','[[[" c","ar","s",","," the","i","r"," p","a","int"," b","lea","c","hed"," and"," ","f","a","d","ed"," ","l","i","k","e"," the"," fin","i","s","h"," t","o"," the","i","r"],[]]]');
INSERT INTO "questions" VALUES('b2:15ffccaef56b09c51dc21eab9fa5935e','detection',1,1,'10','[[[" o","u","t","l","in","e"," w","it","h"," a","l","l"," a","s","p","e","c","ts"," of"," ","y","ou","r"," c","h","ose","n"," ","he","r","o","''","s"," p","er","s","o","n","al","it","y",","],[]]]');
INSERT INTO "questions" VALUES('b2:15ffccaef56b09c51dc21eab9fa5935e','detection',2,1,'4','[[[" n","e","c","k","."," It","''","s"," p","l","a","y","ed"," ","u","s","ing"," a"," b","o","w",".","\n","\n","2","."," ","H","o","w"," t","o"," p","l","a","y"," a"," ","v","i","o","l","in"," w","it","h","ou","t"],[]]]');
INSERT INTO "questions" VALUES('b2:15ffccaef56b09c51dc21eab9fa5935e','detection',3,1,'8','[[[" the"," ","y","ea","r"," w","he","n"," the"," ","f","i","r","s","t"," ","B","ri","ti","s","h"," m","a","n","-","ma","d","e"," w","in","d","m","il","l"," b","u","il","t"," ","d","u","r","ing"],[]]]');
INSERT INTO "questions" VALUES('b2:15ffccaef56b09c51dc21eab9fa5935e','detection',4,0,'silent','[[[" p","r","o","v","i","d","e"," fin","a","n","c","ing"," ","for"," p","r","o","j","e","c","ts"," ","l","i","k","e"," ","y","ou","r","s"," and"," w","e"," c","a","n"," c","h","o","ose"," on","e","."],[]]]');
INSERT INTO "questions" VALUES('b2:15ffccaef56b09c51dc21eab9fa5935e','detection',5,0,'silent','[[[" ","f","r","ee"," ","u","p","g","r","a","d","e"," on"," the"," in","t","er","n","e","t"," a","s"," ","f","ar"," a","s"," the"," ","u","se"," of"," a"," t","a","b","le","t"," c","o","m","p","u","t","er"],[]]]');
INSERT INTO "questions" VALUES('b2:15ffccaef56b09c51dc21eab9fa5935e','detection',6,0,'silent','[[[" c","ar","s"," ","d","ri","f","ts"," ","d","o","w","n"," the"," s","t","r","ee","t"," t","o","w","ar","d","s"," the"," ","h","o","ri","z","o","n",".","\n","\n","The"," ","d","riv","er","s"],[]]]');
INSERT INTO "questions" VALUES('b2:15ffccaef56b09c51dc21eab9fa5935e','detection',7,0,'silent','[[[" ","v","a","ri","e","t","y","."," ","The"," s","t","a","f","f"," is"," ","d","ed","i","c","at","ed"," t","o"," p","r","o","v","i","d","ing"," a"," w","i","d","e"," ","r","a","n","g","e"," of"],[]]]');
INSERT INTO "questions" VALUES('b2:15ffccaef56b09c51dc21eab9fa5935e','fuzzing',0,0,'silent','[[[" p","r","o","v","i","d","e"," fin","a","n","c","ing"," ","for"," p","r","o","j","e","c","ts"," ","l","i","k","e"," ","y","ou","r","s"," and"," w","e"," c","a","n"," c","h","o","ose"," on","e","."],[3]]]');
INSERT INTO "questions" VALUES('b2:15ffccaef56b09c51dc21eab9fa5935e','fuzzing',1,1,'1','[[[" c","ar","s",","," the","i","r"," p","a","int"," b","lea","c","hed"," and"," ","f","a","d","ed"," ","l","i","k","e"," the"," fin","i","s","h"," t","o"," the","i","r"],[12]]]');
INSERT INTO "questions" VALUES('b2:15ffccaef56b09c51dc21eab9fa5935e','fuzzing',2,0,'silent','[[[" c","ar","s"," ","d","ri","f","ts"," ","d","o","w","n"," the"," s","t","r","ee","t"," t","o","w","ar","d","s"," the"," ","h","o","ri","z","o","n",".","\n","\n","The"," ","d","riv","er","s"],[12]]]');
INSERT INTO "questions" VALUES('b2:15ffccaef56b09c51dc21eab9fa5935e','fuzzing',3,0,'silent','[[[" ","f","r","ee"," ","u","p","g","r","a","d","e"," on"," the"," in","t","er","n","e","t"," a","s"," ","f","ar"," a","s"," the"," ","u","se"," of"," a"," t","a","b","le","t"," c","o","m","p","u","t","er"],[21]]]');
INSERT INTO "questions" VALUES('b2:15ffccaef56b09c51dc21eab9fa5935e','fuzzing',4,0,'silent','[[[" ","v","a","ri","e","t","y","."," ","The"," s","t","a","f","f"," is"," ","d","ed","i","c","at","ed"," t","o"," p","r","o","v","i","d","ing"," a"," w","i","d","e"," ","r","a","n","g","e"," of"],[7,33]]]');
INSERT INTO "questions" VALUES('b2:15ffccaef56b09c51dc21eab9fa5935e','fuzzing',5,1,'4','[[[" n","e","c","k","."," It","''","s"," p","l","a","y","ed"," ","u","s","ing"," a"," b","o","w",".","\n","\n","2","."," ","H","o","w"," t","o"," p","l","a","y"," a"," ","v","i","o","l","in"," w","it","h","ou","t"],[7,33]]]');
INSERT INTO "questions" VALUES('b2:15ffccaef56b09c51dc21eab9fa5935e','fuzzing',6,1,'10','[[[" o","u","t","l","in","e"," w","it","h"," a","l","l"," a","s","p","e","c","ts"," of"," ","y","ou","r"," c","h","ose","n"," ","he","r","o","''","s"," p","er","s","o","n","al","it","y",","],[3]]]');
INSERT INTO "questions" VALUES('b2:15ffccaef56b09c51dc21eab9fa5935e','fuzzing',7,1,'8','[[[" the"," ","y","ea","r"," w","he","n"," the"," ","f","i","r","s","t"," ","B","ri","ti","s","h"," m","a","n","-","ma","d","e"," w","in","d","m","il","l"," b","u","il","t"," ","d","u","r","ing"],[21]]]');
INSERT INTO "questions" VALUES('b2:91237a8da60c545d64a3d795be7699f2','detection',0,0,'silent','[[[" ","v","a","ri","e","t","y","."," ","The"," s","t","a","f","f"," is"," ","d","ed","i","c","at","ed"," t","o"," p","r","o","v","i","d","ing"," a"," w","i","d","e"," ","r","a","n","g","e"," of"],[]]]');
INSERT INTO "questions" VALUES('b2:91237a8da60c545d64a3d795be7699f2','detection',1,0,'silent','[[[" ","f","r","ee"," ","u","p","g","r","a","d","e"," on"," the"," in","t","er","n","e","t"," a","s"," ","f","ar"," a","s"," the"," ","u","se"," of"," a"," t","a","b","le","t"," c","o","m","p","u","t","er"],[]]]');
INSERT INTO "questions" VALUES('b2:91237a8da60c545d64a3d795be7699f2','detection',2,1,'4','[[[" c","ar","s",","," the","i","r"," p","a","int"," b","lea","c","hed"," and"," ","f","a","d","ed"," ","l","i","k","e"," the"," fin","i","s","h"," t","o"," the","i","r"],[]]]');
INSERT INTO "questions" VALUES('b2:91237a8da60c545d64a3d795be7699f2','detection',3,1,'10','[[["I","''","m"," s","i","p","p","ing"," m","y"," c","o","f","f","ee"," on"," a"," ","q","u","i","e","t"," c","or","n","er"," of"," the"," c","it","y","''","s"," b","u","s","i","es","t"],[]]]');
INSERT INTO "questions" VALUES('b2:91237a8da60c545d64a3d795be7699f2','detection',4,1,'1','[[[" t","o"," the"," c","ou","r","ag","e"," and"," ","he","r","o","i","s","m"," of"," t","h","ose"," b","r","a","v","e"," sou","l","s"," w","h","o"," ","f","ou","gh","t"," ","for"],[]]]');
INSERT INTO "questions" VALUES('b2:91237a8da60c545d64a3d795be7699f2','detection',5,0,'silent','[[[" p","r","o","v","i","d","e"," fin","a","n","c","ing"," ","for"," p","r","o","j","e","c","ts"," ","l","i","k","e"," ","y","ou","r","s"," and"," w","e"," c","a","n"," c","h","o","ose"," on","e","."],[]]]');
INSERT INTO "questions" VALUES('b2:91237a8da60c545d64a3d795be7699f2','detection',6,1,'7','[[[" ","h","o","n","e","y"," on"," the","m","."," ","H","o","w"," a","b","ou","t"," a"," lit","tle"," s","o","m","e","t","h","ing"," s","w","ee","t","?"," ","I"," c","a","n"," m","a","k","e"," a"],[]]]');
INSERT INTO "questions" VALUES('b2:91237a8da60c545d64a3d795be7699f2','detection',7,0,'silent','[[[" c","ar","s"," ","d","ri","f","ts"," ","d","o","w","n"," the"," s","t","r","ee","t"," t","o","w","ar","d","s"," the"," ","h","o","ri","z","o","n",".","\n","\n","The"," ","d","riv","er","s"],[]]]');
INSERT INTO "questions" VALUES('b2:91237a8da60c545d64a3d795be7699f2','fuzzing',0,0,'silent','[[[" ","v","a","ri","e","t","y","."," ","The"," s","t","a","f","f"," is"," ","d","ed","i","c","at","ed"," t","o"," p","r","o","v","i","d","ing"," a"," w","i","d","e"," ","r","a","n","g","e"," of"],[31,35]]]');
INSERT INTO "questions" VALUES('b2:91237a8da60c545d64a3d795be7699f2','fuzzing',1,0,'silent','[[[" p","r","o","v","i","d","e"," fin","a","n","c","ing"," ","for"," p","r","o","j","e","c","ts"," ","l","i","k","e"," ","y","ou","r","s"," and"," w","e"," c","a","n"," c","h","o","ose"," on","e","."],[10]]]');
INSERT INTO "questions" VALUES('b2:91237a8da60c545d64a3d795be7699f2','fuzzing',2,1,'4','[[[" c","ar","s",","," the","i","r"," p","a","int"," b","lea","c","hed"," and"," ","f","a","d","ed"," ","l","i","k","e"," the"," fin","i","s","h"," t","o"," the","i","r"],[0]]]');
INSERT INTO "questions" VALUES('b2:91237a8da60c545d64a3d795be7699f2','fuzzing',3,1,'1','[[[" t","o"," the"," c","ou","r","ag","e"," and"," ","he","r","o","i","s","m"," of"," t","h","ose"," b","r","a","v","e"," sou","l","s"," w","h","o"," ","f","ou","gh","t"," ","for"],[25]]]');
INSERT INTO "questions" VALUES('b2:91237a8da60c545d64a3d795be7699f2','fuzzing',4,0,'silent','[[[" c","ar","s"," ","d","ri","f","ts"," ","d","o","w","n"," the"," s","t","r","ee","t"," t","o","w","ar","d","s"," the"," ","h","o","ri","z","o","n",".","\n","\n","The"," ","d","riv","er","s"],[25]]]');
INSERT INTO "questions" VALUES('b2:91237a8da60c545d64a3d795be7699f2','fuzzing',5,1,'7','[[[" ","h","o","n","e","y"," on"," the","m","."," ","H","o","w"," a","b","ou","t"," a"," lit","tle"," s","o","m","e","t","h","ing"," s","w","ee","t","?"," ","I"," c","a","n"," m","a","k","e"," a"],[31,35]]]');
INSERT INTO "questions" VALUES('b2:91237a8da60c545d64a3d795be7699f2','fuzzing',6,0,'silent','[[[" ","f","r","ee"," ","u","p","g","r","a","d","e"," on"," the"," in","t","er","n","e","t"," a","s"," ","f","ar"," a","s"," the"," ","u","se"," of"," a"," t","a","b","le","t"," c","o","m","p","u","t","er"],[0]]]');
INSERT INTO "questions" VALUES('b2:91237a8da60c545d64a3d795be7699f2','fuzzing',7,1,'10','[[["I","''","m"," s","i","p","p","ing"," m","y"," c","o","f","f","ee"," on"," a"," ","q","u","i","e","t"," c","or","n","er"," of"," the"," c","it","y","''","s"," b","u","s","i","es","t"],[10]]]');
CREATE TABLE scores (
  explanation TEXT NOT NULL REFERENCES explanations (id) ON DELETE CASCADE,
  scorer TEXT NOT NULL,
  judge TEXT NOT NULL,
  metric TEXT NOT NULL,
  score REAL,
  score_low REAL,
  score_high REAL,
  floor REAL,
  floor_low REAL,
  floor_high REAL,
  excess REAL,
  excess_low REAL,
  excess_high REAL,
  p_value REAL,
  metrics TEXT NOT NULL,
  n_questions INTEGER NOT NULL,
  failures TEXT NOT NULL,
  PRIMARY KEY (explanation, scorer)
) WITHOUT ROWID;
INSERT INTO "scores" VALUES('b2:15ffccaef56b09c51dc21eab9fa5935e','detection','llm:scripted:rules.jsonl','auroc',0.5,0.5,0.5,0.5,0.5,0.5,0.0,0.0,0.0,1.0,'{"auprc":0.5,"balanced_accuracy":0.5,"f1":0.0,"mcc":0.0,"precision_at_density":null}',8,'{}');
INSERT INTO "scores" VALUES('b2:15ffccaef56b09c51dc21eab9fa5935e','fuzzing','llm:scripted:rules.jsonl','auroc',0.5,0.5,0.5,0.5,0.5,0.5,0.0,0.0,0.0,1.0,'{"auprc":0.5,"balanced_accuracy":0.5,"f1":0.0,"mcc":0.0,"precision_at_density":null}',8,'{}');
INSERT INTO "scores" VALUES('b2:91237a8da60c545d64a3d795be7699f2','detection','llm:scripted:rules.jsonl','auroc',0.5,0.5,0.5,0.5,0.5,0.5,0.0,0.0,0.0,1.0,'{"auprc":0.5,"balanced_accuracy":0.5,"f1":0.0,"mcc":0.0,"precision_at_density":null}',8,'{}');
INSERT INTO "scores" VALUES('b2:91237a8da60c545d64a3d795be7699f2','fuzzing','llm:scripted:rules.jsonl','auroc',0.5,0.5,0.5,0.5,0.5,0.5,0.0,0.0,0.0,1.0,'{"auprc":0.5,"balanced_accuracy":0.5,"f1":0.0,"mcc":0.0,"precision_at_density":null}',8,'{}');
CREATE TABLE units (
  id TEXT PRIMARY KEY,
  subject TEXT NOT NULL,
  hookpoint TEXT NOT NULL,
  dictionary TEXT NOT NULL,
  idx INTEGER NOT NULL,
  sign INTEGER NOT NULL CHECK (sign IN (-1, 1)),
  statistics TEXT NOT NULL
) WITHOUT ROWID;
INSERT INTO "units" VALUES('tiny-llama/model.layers.1.mlp.down_proj.input/neurons/14-','tiny-llama','model.layers.1.mlp.down_proj.input','neurons',14,-1,'{"histogram":[0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,23,4,2,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0],"maximum":8.805577278137207,"mean":5.4874378072804415,"n_active":29,"n_contexts":521,"threshold":4.482877731323242}');
INSERT INTO "units" VALUES('tiny-llama/model.layers.1.mlp.down_proj.input/neurons/18','tiny-llama','model.layers.1.mlp.down_proj.input','neurons',18,1,'{"histogram":[0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,14,12,1,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0],"maximum":19.001102447509766,"mean":11.733902542679399,"n_active":27,"n_contexts":521,"threshold":9.24996280670166}');
CREATE UNIQUE INDEX units_in_order ON units (subject, hookpoint, dictionary, idx, sign DESC);
CREATE UNIQUE INDEX explanations_in_order ON explanations (unit, method, rank);
CREATE INDEX labels_by_unit ON labels (unit);
CREATE INDEX labels_by_explanation ON labels (explanation);
COMMIT;
